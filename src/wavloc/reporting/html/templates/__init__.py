"""The pages' templates (Jinja2). What is put into them is escaped, but for `Markup`."""

import functools
import re
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup


def asset(name: str) -> Markup:
    """Content of a style sheet or script beside this folder."""
    folder = resources.files(__package__.rpartition(".")[0])
    return Markup(folder.joinpath(name).read_text(encoding="utf-8"))


def anchor(name: str) -> str:
    """A heading as the identifier that links point to."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    made.globals["asset"] = asset
    made.filters |= {"measured": _measured, "anchor": anchor}
    return made


def render(name: str, **values: Any) -> str:
    """A template of this folder with its values."""
    return _environment().get_template(name).render(**values)


def macro(name: str, *values: Any) -> Markup:
    """What a macro of macros.html makes of values."""
    module: Any = _environment().get_template("macros.html").module
    return Markup(getattr(module, name)(*values))


def _measured(row: Any, metric: str) -> str:
    """``0.5 ± 0.1``, or a dash where there is no value."""
    value, low, high = (row.get(metric + end, float("nan")) for end in ("", "_low", "_high"))
    return f"{value:.1f} ± {(high - low) / 2:.1f}" if value == value else "–"
