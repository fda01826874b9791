"""Finding datasets and methods by file name or entry point, and checking their options.

The names and defaults of options are read from the source of a plugin without running it, so that a
configuration with many methods is checked in no time and without torch.
"""

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc import ranges
from wavloc.checks import one_of
from wavloc.errors import InputError

_FOLDERS = {"methods": ("methods/classical", "methods/learned"), "datasets": ("datasets",)}


class Field(typing.NamedTuple):
    """An option: its default, and the words it can be where it is one of some (`Literal`)."""

    default: Any
    words: tuple[Any, ...] = ()


_UNREADABLE = object()  # default of an option that is not written as a literal


@functools.cache
def modules(kind: str) -> dict[str, str]:
    """Names of all plugins of a kind (``methods`` or ``datasets``) -> import path.

    Own files with the class ``Method`` or ``Dataset`` come first; other packages add theirs by an
    entry point ``wavloc.<kind>``.
    """
    defines = re.compile(rf"^class {_class_name(kind)}\(", re.MULTILINE)
    known = {
        path.stem: f"wavloc.{folder.replace('/', '.')}.{path.stem}"
        for folder in _FOLDERS[kind]
        for path in sorted((Path(__file__).parent / folder).glob("*.py"))
        if defines.search(path.read_text(encoding="utf-8"))
    }
    for entry in sorted(importlib.metadata.entry_points(group=f"wavloc.{kind}")):
        known.setdefault(entry.name, entry.value.partition(":")[0])
    return known


def path_of(kind: str, module: str) -> str:
    """Import path of a plugin; an unknown name is an `InputError`."""
    return modules(kind)[one_of(module, sorted(modules(kind)), f"unknown {kind[:-1]}")]


def plugin_class(kind: str, module: str) -> Any:
    """The class ``Method`` or ``Dataset`` of a plugin."""
    return getattr(importlib.import_module(path_of(kind, module)), _class_name(kind))


def _class_name(kind: str) -> str:
    return kind[:-1].capitalize()


# ----------------------------------------------------------------- options


def make_options(plugin: Any, given: Mapping[str, Any], where: str) -> Any:
    """Build the frozen dataclass ``plugin.Options``; unknown keys and wrong types are named."""
    fields = {
        field.name: Field(field.default, typing.get_args(field.type))
        for field in dataclasses.fields(plugin.Options)
    }
    options = plugin.Options(**_checked(fields, given, where))
    ranges.check_together(options, where)
    return options


def check_options(kind: str, module: str, given: Mapping[str, Any], where: str) -> None:
    """As `make_options`, without importing the plugin."""
    _checked(_options(kind, module), given, where)


def _checked(fields: Mapping[str, Field], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = {}
    for key, value in given.items():
        if key not in fields:
            raise InputError(
                f"{where}.options: unknown key '{key}', expected one of {sorted(fields)}"
            )
        ranges.check(value, *fields[key], f"{where}.options.{key}")
        values[key] = tuple(value) if isinstance(value, list) else value
    return values


def option_defaults(kind: str, module: str) -> dict[str, Any]:
    """Options of a plugin -> their defaults, read from its source."""
    return {name: field.default for name, field in _options(kind, module).items()}


@functools.cache
def _options(kind: str, module: str) -> dict[str, Field]:
    options = _options_of(path_of(kind, module), _class_name(kind))
    return _fields(*options) if options else {}


@functools.cache
def _source(module: str) -> tuple[dict[str, ast.ClassDef], dict[str, str]]:
    """Classes of a module by name, and what its imported names stand for."""
    spec = importlib.util.find_spec(module) if module else None
    if spec is None or spec.origin is None:
        return {}, {}
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, names


def _resolved(module: str, expression: ast.expr) -> tuple[str, str]:
    """Module and name of the class that an expression in a module stands for."""
    classes, names = _source(module)
    if isinstance(expression, ast.Subscript):  # a generic class
        expression = expression.value
    first, _, rest = ast.unparse(expression).partition(".")
    if first in classes:
        return module, first
    path = ".".join(filter(None, [names.get(first, first), rest]))
    place, _, name = path.rpartition(".")
    return place, name


def _options_of(module: str, name: str) -> tuple[str, str] | None:
    """Module and name of the class that is `Options` of a class or else of one of its bases."""
    node = _source(module)[0].get(name)
    for line in node.body if node else ():
        match line:
            case (
                ast.Assign(targets=[ast.Name("Options")], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name("Options"), value=ast.expr() as value)
            ):
                return _resolved(module, value)
    inherited = (_options_of(*_resolved(module, base)) for base in (node.bases if node else ()))
    return next(filter(None, inherited), None)


def _fields(module: str, name: str) -> dict[str, Field]:
    """Fields of a dataclass and of its bases."""
    node = _source(module)[0].get(name)
    if node is None:
        return {}
    fields: dict[str, Field] = {}
    for base in reversed(node.bases):
        fields |= _fields(*_resolved(module, base))
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            fields[line.target.id] = Field(_literal(line.value), _words(line.annotation))
    return fields


def _literal(expression: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(expression) if expression else _UNREADABLE
    except ValueError:
        return _UNREADABLE


def _words(annotation: ast.expr) -> tuple[Any, ...]:
    match annotation:
        case ast.Subscript(value=ast.Name("Literal"), slice=ast.Tuple() as words):
            return tuple(ast.literal_eval(words))
    return ()
