"""From result files to figures and the report: reads what earlier stages wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import files, frames, provenance
from wavloc.errors import InputError
from wavloc.methods import predictions
from wavloc.reporting import curves, figures, tables
from wavloc.reporting.report import write_report

EXAMPLES = 4  # places shown of microphones that move from frame to frame


def draw(
    spec: Mapping[str, Any],
    data: Mapping[str, Path],
    predicted: Mapping[str, Path],
    methods: Mapping[str, Mapping[str, Any]],
    out: Path,
    metrics: Path | None = None,
) -> None:
    """Draw one figure of experiments.yaml.

    data: track -> Frames; predicted: ``track/method`` -> predictions; metrics: csv by condition;
    each as spec needs it.
    """
    styles = {name: figures.method_style(entry["place"]) for name, entry in methods.items()}
    if spec["kind"] == "sweep":
        if metrics is None:
            raise InputError("figure: no --metrics FILE given")
        rows = tables.read(metrics, ["method", "metric", "value", "ci_low", "ci_high", spec["x"]])
        shown = {name: {**styles[name], "label": methods[name]["label"]} for name in methods}
        curves.sweep(rows, spec["x"], spec["metric"], shown, out)
        return
    missing = [track for track in spec["tracks"] if track not in data]
    if missing:
        raise InputError(f"figure: no --frames {missing[0]}=PATH given")
    opened = {track: frames.load(data[track]) for track in spec["tracks"]}
    found = {key: predictions.load(path).position for key, path in predicted.items()}
    chosen = {
        track: {
            entry["label"]: (found[f"{track}/{name}"], styles[name])
            for name, entry in methods.items()
            if f"{track}/{name}" in found
        }
        for track in spec["tracks"]
    }
    if spec["kind"] == "layout":
        _layout(opened[spec["tracks"][0]], out)
    elif spec["kind"] == "distribution":
        panels: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for track, estimates in chosen.items():
            truth = np.asarray(opened[track].source_position)
            # The four splits of Table VII leave out the two tracks of one number.
            split = panels.setdefault(f"split {track[-1]}", {})
            split[track] = {
                label: np.linalg.norm(position - truth, axis=1)
                for label, (position, _) in estimates.items()
            }
        looks = {entry["label"]: styles[name] for name, entry in methods.items()}
        figures.error_distribution(panels, looks, out)
    else:
        track = spec["tracks"][0]
        shown = opened[track]
        path = (track, shown.table["time_s"].to_numpy(), np.asarray(shown.source_position))
        width = int(spec.get("median_frames", 0))
        if spec["kind"] == "plan":
            curves.from_above(*path, chosen[track], shown.mics()[0], out, width)
        else:
            figures.trajectory(*path, chosen[track], out, width)


def _layout(shown: frames.Frames, out: Path) -> None:
    """A fixed array from above and from the side, the first places of a moving one in 3-D."""
    shift = np.array(shown.meta.get("origin", [0.0, 0.0, 0.0]))
    mics, sources = np.asarray(shown.mic_positions) + shift, shown.source_position + shift
    fixed = mics.ndim == 2
    if fixed:
        layouts = [(mics, sources)]
    else:
        # Several frames in a row may share their microphones.
        chosen = np.sort(np.unique(mics, axis=0, return_index=True)[1])[:EXAMPLES]
        layouts = [(mics[frame], sources[[frame]]) for frame in chosen]
    figures.array_layout(layouts, shown.meta.get("room"), out, plan=fixed)


def report(results: Path, config: Mapping[str, Any], out: Path) -> None:
    """Write the HTML report of a results folder made with a resolved config."""
    tables = [
        (results / "tables" / f"{name}.csv", results / "tables" / f"{name}.md")
        for name in config["tables"]
    ]
    drawn = [
        (results / "figures" / f"{name}.png", spec["title"])
        for name, spec in config["figures"].items()
    ]
    for path in [*(csv for csv, _ in tables), *(png for png, _ in drawn)]:
        if not path.is_file():
            raise InputError(f"{path}: missing; make tables and figures first")
    specs = [spec for spec in config["tables"].values() if "dataset" in spec]
    used = {config["roles"].get(spec["dataset"], spec["dataset"]) for spec in specs}
    notes = [_data_note(results / "data" / name) for name in sorted(used)]
    write_report(
        out,
        f"wavloc: tables and figures, profile {config['profile']}",
        config["profile"],
        f"speech: {config['speech']}, music: {config['music']}; "
        f"datasets: {', '.join(sorted(used))}",
        tables,
        drawn,
        Path(config["pathvars"]["benchmarks"]),
        provenance.stamp(seed=config["seed"]),
        dict(config),
        _sources(results, config, sorted(used)),
        [*notes, "T60 is nominal: flat rooms decay slower than Sabine's formula says."],
    )


def _sources(
    results: Path, config: Mapping[str, Any], datasets: Sequence[str]
) -> list[tuple[str, str, str]]:
    """(what, where from, licence) of the datasets and of the dry sound they were made of."""
    entries = {name: config["datasets"][name] for name in datasets}
    rows = [
        (entry.get("label", name), entry.get("reference", ""), entry.get("licence", "not stated"))
        for name, entry in entries.items()
    ]
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
        for key in ("rendered", "silent", "anechoic")
    }
    return (
        f"{folder.name}: {total['rendered']} frames simulated, "
        f"{total['silent']} dropped as silent, "
        f"{total['anechoic']} anechoic (nominal T60 below Sabine's bound)."
    )
