"""One training loop for every learned method."""
