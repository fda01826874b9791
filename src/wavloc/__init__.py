"""A reproducible benchmark of 3-D sound source localization with distributed microphones."""

__version__ = "0.1.0"
