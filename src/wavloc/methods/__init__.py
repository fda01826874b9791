"""Localization methods: one file each, found by file name or by entry point ``wavloc.methods``.

The package can be called: ``wavloc.methods()`` lists the methods, see `wavloc.api.methods`.
"""

import importlib
import sys
import types
from typing import Any


class _Package(types.ModuleType):
    def __call__(self) -> Any:
        return importlib.import_module("wavloc.api").methods()


sys.modules[__name__].__class__ = _Package
