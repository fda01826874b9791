"""The report of a run: one HTML page that is read without a network or any other file."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files, frames, plugins, provenance
from wavloc.config import places
from wavloc.errors import InputError
from wavloc.reporting.html import shares, view
from wavloc.reporting.html.page import FRAMES_PAGE, Content, write_report
from wavloc.reporting.html.training import Model


def report(results: Path, config: Mapping[str, Any], out: Path, deviations: Path | None) -> None:
    """Write the report of a results folder; deviations: Markdown that is shown as an appendix.

    config: the whole, resolved configuration of the run, with the methods of each figure by name.
    """
    stems = [results / "tables" / name for name in (*config["tables"], "reproduction")]
    tables = [(stem.with_suffix(".csv"), stem.with_suffix(".md")) for stem in stems]
    drawn = [
        (results / "figures" / f"{name}.png", spec["title"])
        for name, spec in config["figures"].items()
    ]
    for path in [*itertools.chain(*tables), *(png for png, _ in drawn)]:
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
        tables=tables,
        figures=drawn,
        views=view.views(results, config, labels),
        frames_page=(results / FRAMES_PAGE).is_file(),
        models=_models(results / "models", benchmarks),
        shares=shares.section(results, config, labels),
        benchmarks=benchmarks,
        provenance=provenance.stamp(seed=config["seed"]),
        config=config,
        sources=_sources(results, config, used),
        notes=[
            *(_data_note(results / "data" / name) for name in used),
            "T60 is nominal: flat rooms decay slower than Sabine's formula says.",
        ],
        deviations=files.read_text(deviations) if deviations else "",
        banner=_banner(config),
    )
    write_report(out, content)


def _banner(config: Mapping[str, Any]) -> str:
    """How long networks were trained where they are reduced."""
    if config["networks"] != "reduced":
        return ""
    return "night" if config["profile"] == "night" else "minutes"


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
        note = files.read_mapping(path.parent / "method.json")
        models.append(Model(dataset, split, name, history, note, seconds))
    return models


def _sources(
    results: Path, config: Mapping[str, Any], datasets: Sequence[str]
) -> list[tuple[str, str, str]]:
    """(what, where from, licence) of the datasets and of the dry sound they were made of."""
    rows = []
    for name in datasets:
        entry = config["datasets"][name]
        dataset = plugins.plugin_class("datasets", entry["module"])
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
    said = [
        f"{total['recorded']} frames recorded, {total['unlabelled']} of them without a label",
        f"{total['rendered']} frames simulated",
        f"{total['silent']} dropped as silent",
        f"{total['anechoic']} anechoic (nominal T60 below Sabine's bound)",
    ]
    counted = (total[key] for key in ("recorded", "rendered", "silent", "anechoic"))
    return f"{folder.name}: {', '.join(itertools.compress(said, counted))}."
