"""A reproducible benchmark of 3-D sound source localization with distributed microphones.

What this offers is in `wavloc.api` and loaded when it is first used; docs/api.md explains it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavloc.api import (
        Checked,
        Frames,
        InputError,
        Located,
        Method,
        Predictions,
        WavlocError,
        check,
        evaluate,
        load,
        locate,
        method,
        methods,
        simulate,
    )

__version__ = "0.1.0"

__all__ = [
    "Checked",
    "Frames",
    "InputError",
    "Located",
    "Method",
    "Predictions",
    "WavlocError",
    "check",
    "evaluate",
    "load",
    "locate",
    "method",
    "methods",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'wavloc' has no attribute '{name}'")
    import importlib

    if name == "methods":  # the package, which can be called
        return importlib.import_module("wavloc.methods")
    return getattr(importlib.import_module("wavloc.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
