"""Features of sound that methods build on: delays between microphones."""
