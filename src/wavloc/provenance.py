"""Where a result comes from: git revision, versions, processor, and digests of its code."""

import ast
import contextlib
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
    """Commit of the checkout that the package runs from, with ``+`` if it has local changes.

    ``unknown`` outside a checkout.
    """
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
    """Processor type and the number of cores that this process may use."""
    return f"{platform.machine()} CPU, {len(os.sched_getaffinity(0))} cores"


def stamp(**extra: Any) -> dict[str, Any]:
    """Provenance of a result, without dates: equal inputs give equal bytes."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "git": git_revision(),
        "python": platform.python_version(),
        "packages": versions,
        "device": device(),
        **extra,
    }


def _module_file(name: str) -> Path | None:
    """Source file of a module or package; None for a name that is neither."""
    parts = name.split(".")
    if parts[0] == "wavloc":  # no import needed
        path = PACKAGE.joinpath(*parts[1:])
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        return path / "__init__.py" if (path / "__init__.py").is_file() else None
    spec = importlib.util.find_spec(name)
    return Path(spec.origin) if spec and spec.origin else None


@functools.cache
def _parsed(path: Path) -> tuple[str, frozenset[str]]:
    """Code of a module without docstrings and comments, and the names of wavloc it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        match getattr(node, "body", None):
            case [ast.Expr(value=ast.Constant(value=str())), *_] as body:
                del body[0]
    text = ast.dump(tree)
    # The numbers that were fitted for a module are its code; so are style sheets, scripts and
    # templates of a package.
    kinds = [f"{path.stem}.json", f"weights/{path.stem}.json"]
    if path.name == "__init__.py":
        kinds = ["*.css", "*.js", "*.html"]
    others = [other for kind in kinds for other in sorted(path.parent.glob(kind))]
    text += "".join(other.read_text(encoding="utf-8") for other in others)
    return text, frozenset(name for name in imported if name.split(".")[0] == "wavloc")


@functools.cache
def code_digest(*modules: str, within: tuple[str, ...] = ("",)) -> str:
    """Digest of the code of some modules and of all wavloc modules that they import.

    within: only those whose names begin so.

    Comments, blank lines and docstrings do not count, so that rewording them reruns nothing. The
    packages that hold a module count as imported, since Python runs their ``__init__``.
    """
    todo, seen = list(modules), {}
    while todo:
        name = todo.pop()
        if name in seen or name in ("wavloc", "wavloc.provenance") or not name.startswith(within):
            continue
        path = _module_file(name)
        seen[name], imported = _parsed(path) if path else ("", frozenset())
        todo.extend(imported)
        if path and name.startswith("wavloc."):
            todo.append(name.rpartition(".")[0])
    return digest(sorted(seen.items()))
