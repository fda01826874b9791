"""How a tidy table is laid out on paper: rows of methods, levels of column headings, footnotes."""

from __future__ import annotations

import itertools
import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from wavloc.errors import InputError
from wavloc.simulation import faults, mixtures

NOT_COMPUTED = "not computed"  # start of the note of a cell that no metrics file holds


class Metric(NamedTuple):
    """How a metric is shown; ``best`` picks the best of several values, None = nothing to win."""

    label: str
    unit: str
    best: Any
    form: str = ".1f"


# Every cell of every table of methods has these in its csv, whatever is shown.
EVERYWHERE = ("mae", "median", "rmse", "acc30", "failure_rate", "difference_to_best")
METRICS = {
    "mae": Metric("MAE (cm)", "cm", min),
    "median": Metric("median (cm)", "cm", min),
    "rmse": Metric("RMSE (cm)", "cm", min),
    "acc30": Metric("acc@30 (%)", "%", max),
    "failure_rate": Metric("failures (%)", "%", min),
    "difference_to_best": Metric("to best (cm)", "cm", min),
    "mic_mae": Metric("mic. MAE (cm)", "cm", min),
    "source_mae": Metric("MAE per source (cm)", "cm", min),
    "detection_rate": Metric("detected (%)", "%", max),
    "false_alarms": Metric("false alarms per frame", "1/frame", min, ".2f"),
    "auc": Metric("area under ROC curve", "share", max, ".3f"),
    "mean_rank": Metric("mean rank", "rank", min, ".2f"),
    "train_hours": Metric("training (h)", "h", min, ".3g"),
    "ms_per_frame": Metric("inference (ms/frame)", "ms", min, ".3g"),
    "frames_per_s": Metric("frames/s", "1/s", max, ".0f"),
    "train_memory": Metric("training memory (MB)", "MB", min, ".0f"),
    "memory": Metric("memory (MB)", "MB", min, ".0f"),
    "train_energy": Metric("training energy (Wh)", "Wh", min, ".3g"),
    "energy": Metric("energy (mWh/frame)", "mWh", min, ".3g"),
    "speakers": Metric("speakers", "count", None, ".0f"),
    "utterances": Metric("utterances", "count", None, ".0f"),
    "frames": Metric("frames", "count", None, ".0f"),
}
# Column levels from outside in, and those that are shown even where they have one value only.
LEVELS = {
    "tracks": ("setup", "mics", "track", "metric"),
    "mics": ("setup", "track", "mics", "metric"),
    "splits": ("setup", "mics", "split", "track", "metric"),
    "costs": ("setup", "mics", "track", "metric"),
    "ranks": ("setup", "mics", "track", "metric"),
    "sources": ("setup", "mics", "track", "metric"),
}
ALWAYS = {
    "tracks": {"track", "metric"},
    "mics": {"setup", "mics"},
    "splits": {"split", "track"},
    "costs": {"metric"},
    "sources": {"track", "metric"},
    "ranks": {"track"},  # mics = 0: all of a dataset
}
# Layouts with a row per track, the values of all methods side by side.
BY_TRACK = {"counts": "split", "conditions": "condition", "faults": "fault"}
PROPERTIES = ("Input types", "Variable mics", "Perm. inv.", "Params")


class Cell(NamedTuple):
    """Text of one table cell, whether it is the best of its column, and its footnote letter."""

    text: str
    bold: bool = False
    mark: str = ""


class Row(NamedTuple):
    """One method: its label, its properties and its cells."""

    label: str
    properties: list[str]
    cells: list[Cell]


@dataclass
class Grid:
    """A table ready to be written in any markup; ``columns`` are headings from outside in."""

    properties: list[str]
    columns: list[tuple[str, ...]]
    sections: list[list[Row]]  # the paper's methods, then further ones
    footnotes: list[tuple[str, str]]
    constants: str  # what all columns have in common
    references: str
    first: str = "Method"  # heading of the first column


def split_of(track: str) -> str:
    """Split of a track: its take number (``music3`` -> ``3``)."""
    match = re.search(r"\d+$", track)
    return match.group() if match else track


def layout(
    frame: pd.DataFrame, spec: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]
) -> Grid:
    """Arrange a tidy table as its spec says (``layout``: a key of `LEVELS` or `BY_TRACK`)."""
    kind = spec["layout"]
    if kind in BY_TRACK:
        return _by_track(frame, spec, methods)
    if kind not in LEVELS:
        known = ", ".join([*LEVELS, *BY_TRACK])
        raise InputError(f"layout '{kind}' is unknown, expected one of {known}")
    rows = {
        (row["method"], row["setup"], row["mics"], row["track"], row["metric"]): row
        for row in frame.to_dict("records")
    }
    values = {
        "setup": list(spec["setups"]),
        "mics": [int(mics) for mics in spec["mics"]],
        "track": list(spec["tracks"]),
        "metric": list(spec["metrics"]),
        "split": sorted({split_of(track) for track in spec["tracks"]}),
    }
    levels = LEVELS[kind]
    shown = [name for name in levels if len(values[name]) > 1 or name in ALWAYS[kind]]
    columns = []  # heading, cell key, of the paper?
    for chosen in itertools.product(*(values[name] for name in levels)):
        at = dict(zip(levels, chosen, strict=True))
        if "split" in at and split_of(at["track"]) != at["split"]:
            continue
        key = (at["setup"], at["mics"], at["track"], at["metric"])
        head = tuple(_heading(name, at[name]) for name in shown)
        columns.append((head, key, False))
        if any(pd.notna(rows[name, *key]["paper_value"]) for name in methods):
            columns.append((head, key, True))
    has_paper = any(of_paper for _, _, of_paper in columns)
    heads = [head + ((("paper" if p else "ours"),) if has_paper else ()) for head, _, p in columns]

    def order(name: str) -> tuple:
        """Controls last; a leaderboard by rank."""
        value = rows[name, *columns[0][1]]["value"] if kind == "ranks" else 0
        return bool(methods[name].get("control")), value if pd.notna(value) else math.inf

    sections: list[list[Row]] = [[], []]
    best = {key: _best(rows, methods, key) for _, key, _ in columns}
    for name in sorted(methods, key=order):
        method = methods[name]
        cells = [
            _paper_cell(rows[name, *key]) if of_paper else _cell(rows[name, *key])
            for _, key, of_paper in columns
        ]
        if not method.get("control"):
            cells = [
                cell._replace(bold=not of_paper and _number(rows[name, *key]) == best[key] != "")
                for cell, (_, key, of_paper) in zip(cells, columns, strict=True)
            ]
        label = method.get("paper_label") or method["label"]
        properties = _properties(method) if kind == "tracks" else []
        sections[0 if method.get("paper_label") else 1].append(Row(label, properties, cells))
    references = "; ".join(
        f"{m.get('paper_label') or m['label']}: {m['reference'].rstrip('.')}"
        for m in methods.values()
        if m.get("reference")
    )
    return Grid(
        properties=list(PROPERTIES) if kind == "tracks" else [],
        columns=heads,
        sections=[section for section in sections if section],
        footnotes=_letter_footnotes(sections),
        constants=_constants(
            frame,
            values,
            [name for name in levels if name not in shown and values[name] != [0]],
            has_paper,
        ),
        references=f"References: {references}." if references and kind == "tracks" else "",
    )


def _heading(level: str, value: Any) -> str:
    if level == "track":
        track, kind, count = faults.parted(value)
        return f"{track}, sources: {count:g}" if kind == mixtures.KIND else value
    texts = {"setup": f"setup {value}", "mics": f"M = {value}", "split": f"split {value}"}
    return METRICS[value].label if level == "metric" else texts.get(level, str(value))


def _by_track(
    frame: pd.DataFrame, spec: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]
) -> Grid:
    """A row per track; columns are methods, then metrics, each left out where there is one."""
    rows = {(row["method"], row["track"], row["metric"]): row for row in frame.to_dict("records")}
    names = sorted(methods, key=lambda name: bool(methods[name].get("control")))
    columns = []  # heading, method, metric, of the paper?
    for name, metric in itertools.product(names, spec["metrics"]):
        label = methods[name].get("paper_label") or methods[name]["label"]
        shown = [label] * (len(names) > 1) + [METRICS[metric].label] * (len(spec["metrics"]) > 1)
        columns.append((tuple(shown or [label]), name, metric, False))
        if any(pd.notna(rows[name, track, metric]["paper_value"]) for track in spec["tracks"]):
            columns.append((tuple(shown or [label]), name, metric, True))
    has_paper = any(of_paper for *_, of_paper in columns)
    body = []
    for track in spec["tracks"]:
        by_method = {(name, metric): row for (name, at, metric), row in rows.items() if at == track}
        cells = [
            _paper_cell(by_method[name, metric]) if of_paper else _cell(by_method[name, metric])
            for _, name, metric, of_paper in columns
        ]
        best = {metric: _best(by_method, methods, (metric,)) for metric in spec["metrics"]}
        for k, (_, name, metric, of_paper) in enumerate(columns):
            won = _number(by_method[name, metric]) == best[metric] != ""
            if won and not of_paper and not methods[name].get("control"):
                cells[k] = cells[k]._replace(bold=True)
        body.append(Row(track, [], cells))
    words = [METRICS[metric].label for metric in spec["metrics"]]
    hidden = words if len(words) == 1 else []
    return Grid(
        properties=[],
        columns=[head + ((("paper" if p else "ours"),) if has_paper else ())
                 for head, _, _, p in columns],
        sections=[body],
        footnotes=_letter_footnotes([body]),
        constants=_sentence(frame, hidden, has_paper),
        references="",
        first=BY_TRACK[spec["layout"]].capitalize(),
    )  # fmt: skip


def _constants(frame: pd.DataFrame, values: dict, hidden: list[str], has_paper: bool) -> str:
    """Sentence with all that the headings leave out."""
    return _sentence(frame, [_heading(name, values[name][0]) for name in hidden], has_paper)


def _sentence(frame: pd.DataFrame, words: list[str], has_paper: bool) -> str:
    text = "Here: " + ", ".join([*words, f"data set {frame['dataset'].iloc[0]}"])
    text += "; ± is half the width of the 95 % interval." if frame["ci_low"].notna().any() else "."
    return text + (" Columns “paper” repeat the published values." if has_paper else "")


def _number(row: Mapping[str, Any]) -> str:
    return "" if pd.isna(row["value"]) else format(row["value"], METRICS[row["metric"]].form)


def _best(rows: Mapping, methods: Mapping[str, Mapping], key: tuple) -> str:
    """Best printed value of a column among methods that are no controls; equals share it."""
    texts = [_number(rows[name, *key]) for name in methods if not methods[name].get("control")]
    known = [text for text in texts if text]
    best = METRICS[key[-1]].best
    return best(known, key=float) if known and best else ""


def _cell(row: Mapping[str, Any]) -> Cell:
    """Our value with its half-width; N/A where a method refused; empty where nothing was run.

    The note stands in for the footnote letter until `_letter_footnotes`.
    """
    text, note = _number(row), row["note"] or ""
    if text and pd.notna(row["ci_low"]) and pd.notna(row["ci_high"]):
        text += f" ± {(row['ci_high'] - row['ci_low']) / 2:{METRICS[row['metric']].form}}"
    if not text and not note.startswith(NOT_COMPUTED):
        text = "N/A"
    return Cell(text, mark=note)


def _paper_cell(row: Mapping[str, Any]) -> Cell:
    if pd.isna(row["paper_value"]):
        return Cell("")
    form, half = METRICS[row["metric"]].form, row["paper_halfwidth"]
    text = format(row["paper_value"], form)
    return Cell(text if pd.isna(half) else f"{text} ± {half:{form}}")


def _properties(method: Mapping[str, Any]) -> list[str]:
    """Texts of `PROPERTIES`."""
    count = method.get("parameters")
    size = "–"
    if count:
        size = f"{count / 1e6:.1f} M" if count >= 950_000 else f"{count / 1e3:.0f} k"
    words = {True: "yes", False: "no", None: "–"}  # None: not measured
    flags = [words[method[name]] for name in ("variable_mics", "permutation_invariant")]
    return [method["input_types"], *flags, size]


def _letter_footnotes(sections: list[list[Row]]) -> list[tuple[str, str]]:
    """Replace each cell's note by its letter (a, b, … from top left on); returns (letter, note)."""
    letters = itertools.chain(
        string.ascii_lowercase, map("".join, itertools.product(string.ascii_lowercase, repeat=2))
    )
    known: dict[str, str] = {}
    for row in itertools.chain(*sections):
        for number, cell in enumerate(row.cells):
            if cell.mark:
                if cell.mark not in known:
                    known[cell.mark] = next(letters)
                row.cells[number] = cell._replace(mark=known[cell.mark])
    return [(letter, note) for note, letter in known.items()]
