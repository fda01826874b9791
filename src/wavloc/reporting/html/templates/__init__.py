"""The pages' templates (Jinja2). What is put into them is escaped, but for assets of our own."""

import functools
from typing import Any

import jinja2
from markupsafe import Markup

from wavloc.reporting.html.markup import asset


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    made.globals["asset"] = lambda name: Markup(asset(name))
    made.filters["measured"] = _measured
    return made


def render(name: str, **values: Any) -> str:
    """A template of this folder with its values."""
    return _environment().get_template(name).render(**values)


def _measured(row: Any, metric: str) -> str:
    """``0.5 ± 0.1``, or a dash where there is no value."""
    value, low, high = (row.get(metric + end, float("nan")) for end in ("", "_low", "_high"))
    return f"{value:.1f} ± {(high - low) / 2:.1f}" if value == value else "–"
