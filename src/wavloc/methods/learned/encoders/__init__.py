"""Pre-trained encoders of sound."""
