"""A method for wavloc."""
