"""Localization methods: one file each, found by file name or by entry point ``wavloc.methods``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavloc import plugins
from wavloc.methods.base import Method


def create(name: str, entry: Mapping[str, Any] | None = None, seed: int = 0) -> Method:
    """Make a method from its config entry (keys ``module``, ``options``, ``seed_name``)."""
    entry = entry or {}
    method = plugins.plugin_class("methods", entry.get("module", name))
    return method(entry.get("options"), name, seed, entry.get("seed_name", ""))
