"""Evaluation: from predictions and truth to metrics with bootstrap intervals."""
