"""From a results folder to the report: reads what earlier stages wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import files, frames, plugins, provenance
from wavloc.config import places
from wavloc.errors import InputError
from wavloc.methods import predictions
from wavloc.reporting.html.page import Content, write_report
from wavloc.reporting.html.training import Model
from wavloc.reporting.html.view import View


def report(results: Path, config: Mapping[str, Any], out: Path, deviations: Path | None) -> None:
    """Write the HTML report of a results folder made with a resolved config.

    deviations: Markdown that is shown as an appendix.
    """
    tables = [
        (results / "tables" / f"{name}.csv", results / "tables" / f"{name}.md")
        for name in config["tables"]
    ]
    reproduced = [results / "tables" / f"reproduction.{kind}" for kind in ("csv", "md")]
    drawn = [
        (results / "figures" / f"{name}.png", spec["title"])
        for name, spec in config["figures"].items()
    ]
    for path in [*(csv for csv, _ in tables), *reproduced, *(png for png, _ in drawn)]:
        if not path.is_file():
            raise InputError(f"{path}: missing; make tables and figures first")
    specs = [*config["tables"].values(), *config["figures"].values()]
    named = {spec["dataset"] for spec in specs if "dataset" in spec}
    used = sorted({config["roles"].get(name, name) for name in named})
    methods = config["methods"]
    labels = {name: methods[name].get("label", name) for name in places(methods)}
    benchmarks = Path(config["pathvars"]["benchmarks"])
    content = Content(
        title=f"wavloc: tables and figures, profile {config['profile']}",
        profile=config["profile"],
        data_note=f"Speech: {config['speech']}, music: {config['music']}; "
        f"datasets: {', '.join(used)}.",
        tables=[*tables, reproduced],
        figures=drawn,
        views=_views(results, config, labels),
        labels=list(labels.values()),
        models=_models(results / "models", benchmarks),
        benchmarks=benchmarks,
        provenance=provenance.stamp(seed=config["seed"]),
        config=config,
        sources=_sources(results, config, used),
        notes=[
            *(_data_note(results / "data" / name) for name in used),
            "T60 is nominal: flat rooms decay slower than Sabine's formula says.",
        ],
        deviations=deviations.read_text(encoding="utf-8") if deviations else "",
    )
    write_report(out, content)


def _views(results: Path, config: Mapping[str, Any], labels: Mapping[str, str]) -> list[View]:
    """The tracks of the figures over time, with every method that was run on them.

    Those of the figure are visible at first.
    """
    views: dict[tuple[str, str, str], View] = {}
    for spec in config["figures"].values():
        if spec["kind"] != "trajectory":
            continue
        dataset = config["roles"].get(spec["dataset"], spec["dataset"])
        for track in spec["tracks"]:
            cell = f"{spec['setup']}-{spec['mics']}"
            if (dataset, track, cell) in views:
                continue
            folder = results / "predictions" / dataset / track / cell
            estimates = {
                label: predictions.load(folder / f"{name}.parquet").position
                for name, label in labels.items()
                if (folder / f"{name}.parquet").is_file()
            }
            shown = frames.load(results / "data" / dataset / track)
            chosen = spec["methods"] if isinstance(spec["methods"], list) else labels
            views[dataset, track, cell] = View(
                f"{track}, setup {spec['setup']}, {spec['mics']} microphones",
                shown.table["time_s"].to_numpy(),
                np.asarray(shown.source_position),
                shown.mics()[0],
                shown.room_bounds,
                estimates,
                {label for name, label in labels.items() if name in chosen},
            )
    return list(views.values())


def _models(folder: Path, benchmarks: Path) -> list[Model]:
    """Every trained model of a run, with the time of its training where that was kept."""
    models = []
    for path in sorted(folder.glob("*/*/*/history.csv")):
        dataset, split, name = path.parent.relative_to(folder).parts
        timed = benchmarks / "train" / dataset / split / f"{name}.tsv"
        try:
            history = pd.read_csv(path)
            seconds = float(pd.read_csv(timed, sep="\t")["s"].iloc[0]) if timed.is_file() else None
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: history or run time not readable ({error})") from None
        note = files.read_json(path.parent / "method.json")
        models.append(Model(dataset, split, name, history, note, seconds))
    return models


def _sources(
    results: Path, config: Mapping[str, Any], datasets: Sequence[str]
) -> list[tuple[str, str, str]]:
    """(what, where from, licence) of the datasets and of the dry sound they were made of."""
    rows = []
    for name in datasets:
        entry = config["datasets"][name]
        dataset = plugins.plugin_class("datasets", entry.get("module", name))
        described = [entry.get(key, getattr(dataset, key)) for key in ("label", "reference")]
        rows.append((*described, entry.get("licence", "not stated")))
    for path in sorted((results / "data" / "corpus").glob("*/meta.json")):
        meta = files.read_json(path)
        rows.append((f"dry {path.parent.name}", meta["source"], meta.get("licence", "not stated")))
    return rows


def _data_note(folder: Path) -> str:
    """One sentence on a dataset's frames: how many were rendered, silent and anechoic."""
    metas = [
        frames.load(path).meta
        for path in sorted(folder.glob("*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    total = {
        key: sum(int(meta.get(f"frames_{key}", 0)) for meta in metas)
        for key in ("rendered", "recorded", "silent", "unlabelled", "anechoic")
    }
    recorded = (
        f"{total['recorded']} frames recorded, {total['unlabelled']} of them without a label, "
        if total["recorded"]
        else ""
    )
    return (
        f"{folder.name}: {recorded}{total['rendered']} frames simulated, "
        f"{total['silent']} dropped as silent, "
        f"{total['anechoic']} anechoic (nominal T60 below Sabine's bound)."
    )
