"""Numbers are checked where they enter: one rule, with the field's name, its range and its unit."""

import numbers
from collections.abc import Collection
from typing import Any

from wavloc.errors import InputError

INFINITE = float("inf")


def number(
    value: Any,
    name: str,
    low: float = -INFINITE,
    high: float = INFINITE,
    unit: str = "",
    *,
    whole: bool = False,
    above: bool = False,
) -> Any:
    """``value`` if it is a finite number with low <= value <= high; otherwise an `InputError`.

    name: of the field, for the message. whole: without a fractional part. above: ``low`` itself
    does not count. Text and booleans are no numbers.
    """
    real: bool = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if real:
        inside = low < value <= high if above else low <= value <= high  # False for NaN
        if inside and abs(value) != INFINITE and not (whole and value % 1):
            return value
    raise InputError(f"{name}: {shown(value)}, expected {expected(low, high, unit, whole, above)}")


def expected(
    low: float, high: float, unit: str = "", whole: bool = False, above: bool = False
) -> str:
    """What `number` accepts, in words: ``a number from 300 to 370 m/s``."""
    kind = "a whole number" if whole else "a number"
    unit = f" {unit}" if unit else ""
    if low == -INFINITE:
        return f"{kind}{unit}" if high == INFINITE else f"{kind} of at most {high:,.12g}{unit}"
    if high == INFINITE:
        return f"{kind} {'above' if above else 'of at least'} {low:,.12g}{unit}"
    return f"{kind} {'above' if above else 'from'} {low:,.12g} to {high:,.12g}{unit}"


def vector(
    value: Any,
    name: str,
    low: float = -INFINITE,
    high: float = INFINITE,
    unit: str = "m",
    *,
    above: bool = False,
) -> list[float]:
    """Three numbers x, y, z as a list, each checked by `number`."""
    values = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise InputError(f"{name}: {shown(value)}, expected three numbers in {unit}")
    return [
        number(part, f"{name}, {axis}", low, high, unit, above=above)
        for axis, part in zip("xyz", values, strict=True)
    ]


def text(value: Any, name: str) -> str:
    """``value`` if it is text; otherwise an `InputError`."""
    if not isinstance(value, str):
        raise InputError(f"{name}: {shown(value)}, expected text")
    return value


def one_of(name: str, known: Collection[str], what: str) -> str:
    """``name`` if it is among the known ones; otherwise an `InputError` that lists them."""
    if name not in known:
        raise InputError(f"{what} '{name}', expected one of {', '.join(known)}")
    return name


def shown(value: Any) -> str:
    """A value for an error message, not longer than a line."""
    words = repr(value.item() if getattr(value, "ndim", None) == 0 else value)
    return words if len(words) <= 80 else f"{words[:77]}..."
