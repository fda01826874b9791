"""Networks that locate: one file a method, torch at its top."""
