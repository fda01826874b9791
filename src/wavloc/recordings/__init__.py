"""Own recordings: from a list of microphones and audio files to frames, and positions to files."""
