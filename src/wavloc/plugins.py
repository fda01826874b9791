"""Finding datasets and methods by file name or entry point, and building their options."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc.errors import InputError

# Files of a plugin folder that are not plugins themselves.
_GROUND = {"__init__", "base", "speakers", "layers", "masking"}
_FOLDERS = {"methods": ("methods/classical", "methods/learned"), "datasets": ("datasets",)}


@functools.cache
def modules(kind: str) -> dict[str, str]:
    """Names of all plugins of a kind (``methods`` or ``datasets``) -> import path.

    Own files come first; other packages add theirs by an entry point ``wavloc.<kind>``.
    """
    found = {
        path.stem: f"wavloc.{folder.replace('/', '.')}.{path.stem}"
        for folder in _FOLDERS[kind]
        for path in sorted((Path(__file__).parent / folder).glob("*.py"))
        if path.stem not in _GROUND
    }
    for entry in sorted(importlib.metadata.entry_points(group=f"wavloc.{kind}")):
        found.setdefault(entry.name, entry.value.partition(":")[0])
    return found


def plugin_class(kind: str, module: str) -> type:
    """The class ``Method`` or ``Dataset`` of a plugin; an unknown name is an `InputError`."""
    known = modules(kind)
    if module not in known:
        raise InputError(
            f"unknown {kind[:-1]} '{module}', expected one of {', '.join(sorted(known))}"
        )
    return getattr(importlib.import_module(known[module]), kind[:-1].capitalize())


def make_options(plugin: type, given: Mapping[str, Any], where: str) -> Any:
    """Build the frozen dataclass ``plugin.Options``; unknown keys and wrong types are named."""
    known = {field.name: field for field in dataclasses.fields(plugin.Options)}
    values = {}
    for key, value in given.items():
        if key not in known:
            raise InputError(
                f"{where}.options: unknown key '{key}', expected one of {sorted(known)}"
            )
        default = known[key].default
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if number and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"{where}.options.{key}: {value!r} is not a number (now {default})")
        if isinstance(default, bool) and not isinstance(value, bool):
            raise InputError(f"{where}.options.{key}: {value!r} is not true or false")
        values[key] = tuple(value) if isinstance(value, list) else value
    return plugin.Options(**values)
