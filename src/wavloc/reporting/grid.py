"""How a tidy table is laid out on paper: rows of methods, levels of column headings, footnotes."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from wavloc.errors import InputError

NOT_COMPUTED = "not computed"  # start of the note of a cell that no metrics file holds


class Metric(NamedTuple):
    """How a metric is shown; ``best`` picks the best of several values."""

    label: str
    unit: str
    best: Any


METRICS = {
    "mae": Metric("MAE (cm)", "cm", min),
    "median": Metric("median (cm)", "cm", min),
    "rmse": Metric("RMSE (cm)", "cm", min),
    "acc30": Metric("acc@30 (%)", "%", max),
    "failure_rate": Metric("failures (%)", "%", min),
    "difference_to_best": Metric("to best (cm)", "cm", min),
    "mic_mae": Metric("mic. MAE (cm)", "cm", min),
}
# Column levels from outside in, and those that are shown even where they have one value only.
LEVELS = {
    "tracks": ("setup", "mics", "track", "metric"),
    "mics": ("setup", "track", "mics", "metric"),
    "splits": ("setup", "mics", "split", "track", "metric"),
}
ALWAYS = {"tracks": {"track", "metric"}, "mics": {"setup", "mics"}, "splits": {"split", "track"}}
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


def split_of(track: str) -> str:
    """Split of a track: its take number (``music3`` -> ``3``)."""
    match = re.search(r"\d+$", track)
    return match.group() if match else track


def layout(
    frame: pd.DataFrame, spec: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]
) -> Grid:
    """Arrange a tidy table as its spec says (``layout``: tracks, mics or splits)."""
    kind = spec["layout"]
    if kind not in LEVELS:
        raise InputError(f"layout '{kind}' is unknown, expected one of {', '.join(LEVELS)}")
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

    sections: list[list[Row]] = [[], []]
    best = {key: _best(rows, methods, key) for _, key, _ in columns}
    for name in sorted(methods, key=lambda name: bool(methods[name].get("control"))):
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
            frame, values, [name for name in levels if name not in shown], has_paper
        ),
        references=f"References: {references}." if references and kind == "tracks" else "",
    )


def _heading(level: str, value: Any) -> str:
    texts = {"setup": f"setup {value}", "mics": f"M = {value}", "split": f"split {value}"}
    return METRICS[value].label if level == "metric" else texts.get(level, str(value))


def _constants(frame: pd.DataFrame, values: dict, hidden: list[str], has_paper: bool) -> str:
    """Sentence with all that the headings leave out."""
    words = [_heading(name, values[name][0]) for name in hidden]
    words.append(f"data set {frame['dataset'].iloc[0]}")
    text = "Here: " + ", ".join(words) + "; ± is half the width of the 95 % interval."
    return text + (" Columns “paper” repeat the published values." if has_paper else "")


def _number(row: Mapping[str, Any]) -> str:
    return "" if pd.isna(row["value"]) else f"{row['value']:.1f}"


def _best(rows: Mapping, methods: Mapping[str, Mapping], key: tuple) -> str:
    """Best printed value of a column among methods that are no controls; equals share it."""
    texts = [_number(rows[name, *key]) for name in methods if not methods[name].get("control")]
    known = [text for text in texts if text]
    return METRICS[key[-1]].best(known, key=float) if known else ""


def _cell(row: Mapping[str, Any]) -> Cell:
    """Our value with its half-width; N/A where a method refused; empty where nothing was run.

    The note stands in for the footnote letter until `_letter_footnotes`.
    """
    text, note = _number(row), row["note"] or ""
    if text and pd.notna(row["ci_low"]) and pd.notna(row["ci_high"]):
        text += f" ± {(row['ci_high'] - row['ci_low']) / 2:.1f}"
    if not text and not note.startswith(NOT_COMPUTED):
        text = "N/A"
    return Cell(text, mark=note)


def _paper_cell(row: Mapping[str, Any]) -> Cell:
    if pd.isna(row["paper_value"]):
        return Cell("")
    text = f"{row['paper_value']:.1f}"
    half = row["paper_halfwidth"]
    return Cell(text if pd.isna(half) else f"{text} ± {half:.1f}")


def _properties(method: Mapping[str, Any]) -> list[str]:
    """Texts of `PROPERTIES`."""
    count = method.get("parameters")
    size = "–"
    if count:
        size = f"{count / 1e6:.1f} M" if count >= 950_000 else f"{count / 1e3:.0f} k"
    flags = ["yes" if method[name] else "no" for name in ("variable_mics", "permutation_invariant")]
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
