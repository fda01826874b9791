"""Reading and checking the configuration; the one schema is ``config/config.schema.yaml``."""

import contextlib
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wavloc import files, plugins, shipped
from wavloc.checks import number, one_of, shown
from wavloc.errors import InputError

FOLDER = shipped.folder("config")
PARTS = ("methods", "datasets", "tables", "figures", "sets", "roles", "pathvars", "evaluation")
# What an entry takes from the one it is `like`, where it does not say otherwise itself.
INHERITED = (
    *("module", "reference", "learned", "control", "input_types", "permutation_invariant"),
    *("variable_mics", "from_delays", "pretrained", "options"),
)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of mappings; anything else of ``over`` replaces what ``base`` has."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a missing file or a syntax error is one line that names it."""
    files.require_regular(path)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{path}: not valid YAML (nested too deeply)") from None
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(loaded or {}, dict):
        raise InputError(f"{path}: expected keys and values, got {type(loaded).__name__}")
    return loaded or {}


def load(*paths: str | Path) -> dict[str, Any]:
    """The configuration of a run, complete and checked.

    paths: a plan file (.json), which a run has written; or config files of differences from
    ``config.yaml``, the later over the earlier. The first one's folder has the shipped entries, or
    else wavloc's own.
    """
    first = Path(paths[0])
    if first.suffix == ".json":
        stored = files.read_json(first)
        parts = [stored.get(key) for key in PARTS] if isinstance(stored, dict) else [None]
        if not all(isinstance(part, dict) for part in parts):
            raise InputError(f"{first}: no plan of a run, expected <results>/plan.json")
        return stored
    folder = first.parent if (first.parent / "config.schema.yaml").is_file() else FOLDER
    given = read_yaml(folder / "config.yaml")
    for path in paths:
        given = merge(given, read_yaml(Path(path)))
    return resolve(given, folder)


def save(config: Mapping[str, Any], path: str | Path) -> None:
    """Write a plan file, atomically, unless it is there with the same content."""
    path = Path(path)
    if not path.is_file() or files.read_json(path) != config:
        files.write_json(path, config)


def resolve(given: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """Complete and check a configuration.

    Underneath ``given`` go the entries in ``folder/{methods,datasets,downloads}``,
    ``experiments.yaml`` and, for reduced networks, ``reduced.yaml``; the schema's defaults fill
    what is left. Unknown keys, values out of range, unknown modules and misspelt options are
    refused before anything runs. Downloads that datasets state join the others.
    """
    schema = read_yaml(folder / "config.schema.yaml")
    config = _layered(given, folder)
    config["methods"] = {name: _inherited(config["methods"], name) for name in config["methods"]}
    _fill_defaults(config, schema)
    for kind in ("methods", "datasets"):
        entries = config[kind] if isinstance(config[kind], dict) else {}
        for name, entry in entries.items():
            if isinstance(entry, dict):
                _fill_defaults(entry, schema["$defs"][kind[:-1]])
                entry.setdefault("module", name)
    import jsonschema  # jobs of a run read its plan, which is checked already

    problems = jsonschema.Draft202012Validator(schema).iter_errors(config)
    first = min(problems, key=lambda p: [str(part) for part in p.absolute_path], default=None)
    if first:
        where = ".".join(map(str, first.absolute_path)) or "top level"
        raise InputError(f"config, {where}: {first.message}")
    for name, entry in config["methods"].items():
        entry.setdefault("label", name)
    _drop_imported(config)
    _keep_outputs(config)
    for kind in ("methods", "datasets"):
        for name, entry in config[kind].items():
            plugins.check_options(kind, entry["module"], entry["options"], f"{kind}.{name}")
    for name, entry in config["datasets"].items():
        for method, options in entry["training"].items():
            where = f"datasets.{name}.training"
            one_of(method, config["methods"], f"config, {where}: unknown method")
            module = config["methods"][method]["module"]
            plugins.check_options("methods", module, options, f"{where}.{method}")
    _require_finite(config, "config")
    for name, entry in config["datasets"].items():
        if "download" in entry:
            config["downloads"][name] = entry["download"]
    return config


def _require_finite(value: Any, where: str) -> None:
    """Raise `InputError` for NaN and infinity, which lie in every range of a schema."""
    if isinstance(value, dict):
        for key, part in value.items():
            _require_finite(part, f"{where}, {key}" if where == "config" else f"{where}.{key}")
    elif isinstance(value, list):
        for part in value:
            _require_finite(part, where)
    elif isinstance(value, float):
        number(value, where)


def places(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Place of each method in the whole configuration, which decides how figures show it.

    By ``order``; variants (``like`` another) come last, so that the first eight, which have a
    colour of their own, are different methods.
    """
    shown = [name for name, entry in methods.items() if entry.get("localizes", True)]
    shown.sort(key=lambda name: ("like" in methods[name], methods[name]["order"], name))
    return {name: place for place, name in enumerate(shown)}


def _layered(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The shipped entries and ``given``, merged; every variant is an entry of its own."""
    base: dict[str, Any] = read_yaml(folder / "experiments.yaml")
    for kind in ("methods", "datasets", "downloads"):
        base[kind] = {path.stem: read_yaml(path) for path in sorted(folder.glob(f"{kind}/*.yaml"))}
    layers = [base, given]
    if given.get("networks") == "reduced":
        layers.insert(1, read_yaml(folder / "reduced.yaml"))
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, dict(layer) | {"methods": _flat(layer.get("methods") or {})})
    return merged


def _flat(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Entries without ``variants``: each of these is an entry `like` the one that has it."""
    if not isinstance(methods, Mapping):
        raise InputError(f"config, methods: {shown(methods)}, expected names and entries")
    flat: dict[str, Any] = {}
    for name, entry in methods.items():
        if not isinstance(entry or {}, Mapping):
            raise InputError(f"config, methods.{name}: {shown(entry)}, expected keys and values")
        entry = dict(entry or {})
        variants = entry.pop("variants", None) or {}
        if not isinstance(variants, Mapping):
            raise InputError(f"config, methods.{name}.variants: {shown(variants)}, expected names")
        flat[name] = entry
        for variant, change in variants.items():
            if variant in methods or variant in flat:
                raise InputError(f"config, methods.{name}.variants: '{variant}' is there twice")
            flat[variant] = {"like": name} | (change or {})
    return flat


def _inherited(entries: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An entry with what it does not state itself from the entry it is ``like``."""
    entry = dict(entries[name])
    parent = entry.get("like")
    if not isinstance(parent, str):
        return entry
    if parent not in entries or entries[parent].get("like"):
        raise InputError(
            f"config, methods.{name}.like: '{parent}', expected a method that is not itself "
            "like another"
        )
    base = {"module": parent} | entries[parent]
    return merge({key: base[key] for key in INHERITED if key in base}, entry)


def _drop_imported(config: dict[str, Any]) -> None:
    """Leave out what is made of the authors' weights, where their file is not given."""
    if "authors_weights" in config:
        return
    entries = config["methods"]
    gone = {name for name, entry in entries.items() if entry["imported"]}
    gone |= {n for n, e in entries.items() if {e.get("model"), e.get("pretrained")} & gone}
    config["methods"] = {name: entry for name, entry in entries.items() if name not in gone}
    for name, members in config["sets"].items():
        config["sets"][name] = [member for member in members if member not in gone]


def _keep_outputs(config: dict[str, Any]) -> None:
    """Leave only the tables and figures that the key ``outputs`` names, where it is there."""
    known = config["tables"] | config["figures"]
    wanted = config.get("outputs", list(known))
    for name in wanted:
        if name not in known:
            raise InputError(
                f"config, outputs: '{name}', expected tables and figures out of {', '.join(known)}"
            )
        for table in known[name].get("tables", []):
            if table not in wanted:
                raise InputError(f"config, outputs: '{name}' ranks '{table}', which is not there")
    for kind in ("tables", "figures"):
        config[kind] = {name: spec for name, spec in config[kind].items() if name in wanted}


def _fill_defaults(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for key, part in schema.get("properties", {}).items():
        if "default" in part:
            value.setdefault(key, copy.deepcopy(part["default"]))
        if part.get("type") in ("boolean", "integer", "number") and isinstance(value.get(key), str):
            with contextlib.suppress(yaml.YAMLError):  # `--config offline=true` comes as text
                value[key] = yaml.safe_load(value[key])
        if isinstance(value.get(key), dict):
            _fill_defaults(value[key], part)
