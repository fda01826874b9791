"""Where a result comes from: git revision, versions, device; digests of the code that made it."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
PACKAGES = ("numpy", "scipy", "pandas", "torch", "pyroomacoustics", "snakemake")


def digest(value: Any) -> str:
    """Short, stable digest of any JSON value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def git_revision() -> str:
    """Commit of the checkout this package runs from, ``+`` if it has changes; else ``unknown``."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"


def device() -> str:
    """The processor in words. Threads are those this process may use."""
    return f"{platform.machine()} CPU, {len(os.sched_getaffinity(0))} cores"


def stamp(**extra: Any) -> dict[str, Any]:
    """Provenance of a result made now. No dates: equal inputs give equal bytes."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "git": git_revision(),
        "python": platform.python_version(),
        "packages": versions,
        "device": device(),
        **extra,
    }


def _module_file(name: str) -> Path | None:
    parts = name.split(".")
    if parts[0] == "wavloc":  # found without importing anything
        path = PACKAGE.joinpath(*parts[1:])
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        return path / "__init__.py" if (path / "__init__.py").is_file() else None
    found = importlib.util.find_spec(name)
    return Path(found.origin) if found and found.origin else None


@functools.cache
def _parsed(path: Path) -> tuple[str, frozenset[str]]:
    """Canonical text of a module without docstrings and comments, and what it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            del body[0]
    return ast.dump(tree), frozenset(name for name in imported if name.split(".")[0] == "wavloc")


@functools.cache
def code_digest(*modules: str) -> str:
    """Digest of the code of modules and of everything of wavloc that they import.

    Comments, blank lines and docstrings do not count, so a better explanation reruns nothing. The
    command line is not followed: it only reads and writes files.
    """
    todo, seen = list(modules), {}
    while todo:
        name = todo.pop()
        if name in seen or name in ("wavloc", "wavloc.provenance"):
            continue
        path = _module_file(name)
        seen[name] = ""
        if path is None:
            continue
        seen[name], imported = _parsed(path)
        todo.extend(imported)
        todo.extend([name.rpartition(".")[0]] if name.startswith("wavloc.") else [])
    return digest(sorted(seen.items()))
