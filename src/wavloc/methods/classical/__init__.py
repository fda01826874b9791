"""Localization without learning: from correlations and delays to positions."""
