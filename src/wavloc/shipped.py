"""Folders that stand beside the package in a checkout, and in it where a wheel was installed."""

from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]


def folder(name: str) -> Path:
    """``config`` or ``examples``."""
    in_checkout = (_CHECKOUT / "pyproject.toml").is_file()
    return (_CHECKOUT if in_checkout else Path(__file__).parent / "share") / name
