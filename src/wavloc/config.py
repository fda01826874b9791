"""Loading and checking the configuration; the one schema is ``config/config.schema.yaml``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from wavloc import plugins
from wavloc.errors import InputError


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of mappings; anything else of ``over`` replaces what ``base`` has."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a missing file or a syntax error is one line that names it."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(loaded or {}, dict):
        raise InputError(f"{path}: expected keys and values, got {type(loaded).__name__}")
    return loaded or {}


def resolve(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Complete and check a configuration.

    Underlays the entries in ``folder/{methods,datasets,downloads}``, ``experiments.yaml`` and, for
    reduced networks, ``reduced.yaml`` (what ``given`` states wins), fills the schema's defaults,
    refuses unknown keys, values out of range, unknown methods and misspelt options before anything
    runs. Downloads that datasets state in their entries come to the others.
    """
    base: dict[str, Any] = read_yaml(folder / "experiments.yaml")
    for kind in ("methods", "datasets", "downloads"):
        entries = {path.stem: read_yaml(path) for path in sorted((folder / kind).glob("*.yaml"))}
        base[kind] = entries
    if given.get("networks") == "reduced":
        base = merge(base, read_yaml(folder / "reduced.yaml"))
    config = merge(base, given)
    config["methods"] = {
        name: _inherited(config["methods"], name) for name in config.get("methods") or {}
    }
    schema = read_yaml(folder / "config.schema.yaml")
    _fill_defaults(config, schema)
    for entry in config["methods"].values():
        _fill_defaults(entry, schema["$defs"]["plugin"])
    problems = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(config),
        key=lambda problem: [str(part) for part in problem.absolute_path],
    )
    if problems:
        where = ".".join(str(part) for part in problems[0].absolute_path) or "top level"
        raise InputError(f"config, {where}: {problems[0].message}")
    _keep_shown(config)
    for kind in ("methods", "datasets"):
        for name, entry in config[kind].items():
            plugin = plugins.plugin_class(kind, entry.get("module", name))
            plugins.make_options(plugin, entry.get("options") or {}, f"{kind}.{name}")
    for name, entry in config["datasets"].items():
        if "download" in entry:
            config["downloads"][name] = entry["download"]
    return config


def places(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Place of each method in the whole configuration, which decides how figures show it.

    By ``order``; variants (``like`` another) come last, so that the first eight, which have a
    colour of their own, are different methods.
    """
    by_order = sorted(methods, key=lambda m: ("like" in methods[m], methods[m]["order"], m))
    return {name: place for place, name in enumerate(by_order)}


def _inherited(entries: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An entry with module, pretrained model and options of the entry it is ``like`` underneath."""
    entry = dict(entries[name] or {})
    parent = entry.get("like")
    if not isinstance(parent, str):
        return entry
    if parent not in entries or (entries[parent] or {}).get("like"):
        raise InputError(
            f"config, methods.{name}.like: '{parent}', expected a method that is not itself "
            "like another"
        )
    base = {"module": parent} | dict(entries[parent] or {})
    below = {key: base[key] for key in ("module", "pretrained", "options") if key in base}
    return merge(below, entry)


def _keep_shown(config: dict[str, Any]) -> None:
    """Leave only the tables and figures that the key ``shown`` names, where it is there."""
    known = config["tables"] | config["figures"]
    shown = config.get("shown", list(known))
    for name in shown:
        if name not in known:
            raise InputError(
                f"config, shown: '{name}', expected tables and figures out of {', '.join(known)}"
            )
        for table in known[name].get("tables", []):
            if table not in shown:
                raise InputError(f"config, shown: '{name}' ranks '{table}', which is not shown")
    for kind in ("tables", "figures"):
        config[kind] = {name: spec for name, spec in config[kind].items() if name in shown}


def load(path: str | Path, *more: str | Path) -> dict[str, Any]:
    """Read a config file and files of differences over it; the first one's folder has the rest."""
    given: dict[str, Any] = {}
    for file in (path, *more):
        given = merge(given, read_yaml(Path(file)))
    return resolve(given, Path(path).parent)


def _fill_defaults(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for key, part in schema.get("properties", {}).items():
        if "default" in part:
            value.setdefault(key, copy.deepcopy(part["default"]))
        if part.get("type") in ("boolean", "number") and isinstance(value.get(key), str):
            value[key] = yaml.safe_load(value[key])  # `--config offline=true` comes as text
        if isinstance(value.get(key), dict):
            _fill_defaults(value[key], part)
