"""How often learned methods are nearer to the source than the best classical one."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import frames, plugins
from wavloc.evaluation.errors import ranked_errors_m
from wavloc.reporting.html.answers import Cell, dataset_of, predicted


def section(
    results: Path, config: Mapping[str, Any], labels: Mapping[str, str]
) -> dict[str, Any] | None:
    """A row for each learned method but its variants, a column for each cell of the tables of whole
    tracks; None without any. labels: of all methods by name, in the order of the configuration.
    """
    kinds = {name: kind_of(config["methods"][name]) for name in labels}
    variants = {name for name in labels if "like" in config["methods"][name]}
    shares: dict[str, dict[str, str]] = {}
    heads = []
    for cell in _cells(config):
        errors = _errors(results, cell, labels)
        rivals = [name for name in errors if kinds[name] == "classical"]
        learned = [name for name in errors if kinds[name] == "learned" and name not in variants]
        if not rivals or not learned:
            continue
        best = min(rivals, key=lambda name: errors[name].mean())
        dataset, track, setup, mics = cell
        heads.append(f"{dataset} {track}, {setup}, {mics} mics: nearer than {labels[best]} (%)")
        for name in learned:
            share = np.mean(errors[name] < errors[best])
            shares.setdefault(labels[name], {})[heads[-1]] = f"{100 * share:.1f}"
    if not heads:
        return None
    ordered = [label for label in labels.values() if label in shares]
    rows = [[label, *(shares[label].get(head, "–") for head in heads)] for label in ordered]
    return {"heads": ["method", *heads], "rows": rows, "numeric": range(1, len(heads) + 1)}


def kind_of(entry: Mapping[str, Any]) -> str:
    """``learned``, with weights of the run or of the package; ``control`` or ``classical``."""
    if entry.get("control"):
        return "control"
    shipped = plugins.path_of("methods", entry["module"]).startswith("wavloc.methods.learned.")
    return "learned" if entry.get("learned") or shipped else "classical"


def _cells(config: Mapping[str, Any]) -> list[Cell]:
    """Dataset, track, setup and number of microphones of what tables of tracks compare."""
    cells: dict[Cell, None] = {}
    for spec in config["tables"].values():
        if spec["layout"] == "tracks":
            places = spec["tracks"], spec["setups"], spec["mics"]
            cells |= dict.fromkeys(itertools.product([dataset_of(spec, config)], *places))
    return list(cells)


def _errors(results: Path, cell: Cell, labels: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Capped errors (F,) in metres of the methods that answered in a cell."""
    answers = predicted(results, cell, labels)
    if not answers:
        return {}
    shown = frames.load(results / "data" / cell[0] / cell[1])
    errors = {name: ranked_errors_m(answer, shown) for name, answer in answers.items()}
    return {name: error for name, error in errors.items() if np.isfinite(error).all()}
