"""How a tidy table is laid out on paper: rows, levels of column headings, footnotes."""

import itertools
import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS
from wavloc.reporting.tables.tidy import NOT_COMPUTED, records, with_tracks
from wavloc.simulation import faults, mixtures

# Layouts with a row per method: levels of columns from outside in, and the levels that are shown
# even where they have one value only.
LEVELS = {
    "tracks": (("setup", "mics", "track", "metric"), {"track", "metric"}),
    "mics": (("setup", "track", "mics", "metric"), {"setup", "mics"}),
    "splits": (("setup", "mics", "split", "track", "metric"), {"split", "track"}),
    "costs": (("setup", "mics", "track", "metric"), {"metric"}),
    "ranks": (("setup", "mics", "track", "metric"), {"track"}),  # mics = 0: all of a dataset
    "sources": (("setup", "mics", "track", "metric"), {"track", "metric"}),
    "sets": (("setup", "mics", "track", "metric"), {"track", "metric"}),
}
# Layouts with a row per track, the values of all methods side by side -> heading of the rows.
BY_TRACK = {"counts": "Split", "conditions": "Condition", "faults": "Fault"}
PROPERTIES = ("Input types", "Variable mics", "Perm. inv.", "Params")
KEY = ("method", "setup", "mics", "track", "metric")

Methods = Mapping[str, Mapping[str, Any]]  # name -> label, paper label and traits
Place = dict[str, Any]  # some of the names in `KEY` -> value


class Cell(NamedTuple):
    """Text of one table cell, whether it is the best of its column, and its footnote letter."""

    text: str
    bold: bool = False
    mark: str = ""


class Row(NamedTuple):
    """One row: its label, the properties of its method and its cells."""

    label: str
    properties: list[str]
    cells: list[Cell]


@dataclass(frozen=True)
class Grid:
    """A table ready to be written in any markup; ``columns`` are headings from outside in."""

    first: str  # heading of the first column
    properties: list[str]
    columns: list[tuple[str, ...]]
    sections: list[list[Row]]  # the paper's methods, then further ones
    footnotes: list[tuple[str, str]]
    constants: str  # what all columns have in common
    references: str


class _Column(NamedTuple):
    head: tuple[str, ...]
    place: Place
    paper: bool = False  # shows the published values


class _Line(NamedTuple):
    label: str
    properties: list[str]
    place: Place


class _Values:
    """The rows of a tidy table by their place."""

    def __init__(self, frame: pd.DataFrame, methods: Methods):
        self.methods = methods
        self.rows = {tuple(row[key] for key in KEY): row for row in records(frame)}
        texts: dict[tuple, list[str]] = {}
        for (method, *place), row in self.rows.items():
            if method in methods and not methods[method].get("control") and _number(row):
                texts.setdefault(tuple(place), []).append(_number(row))
        # Best printed value among methods that are no controls; equals share it.
        self.best: dict[tuple, str] = {}
        for key, known in texts.items():
            if METRICS[key[-1]].better:
                choose = min if METRICS[key[-1]].better == "lower" else max
                self.best[key] = choose(known, key=float)

    def at(self, place: Place) -> dict[str, Any]:
        return self.rows[tuple(place[key] for key in KEY)]

    def cell(self, place: Place, paper: bool) -> Cell:
        row = self.at(place)
        if paper:
            return Cell(_number(row, "paper_value", row["paper_halfwidth"]))
        best = self.best.get(tuple(place[key] for key in KEY[1:]))
        control = self.methods[place["method"]].get("control")
        return _cell(row)._replace(bold=not control and best is not None and _number(row) == best)


def split_of(track: str) -> str:
    """Split of a track: its take number (``music3`` -> ``3``)."""
    match = re.search(r"\d+$", track)
    return match.group() if match else track


def layout(frame: pd.DataFrame, spec: Mapping[str, Any], methods: Methods) -> Grid:
    """Arrange a tidy table as its spec says (``layout``: a key of `LEVELS` or `BY_TRACK`)."""
    kind = spec["layout"]
    if kind not in (known := [*LEVELS, *BY_TRACK]):
        raise InputError(f"layout '{kind}' is unknown, expected one of {', '.join(known)}")
    spec = with_tracks(spec, frame["track"])
    values = _Values(frame, methods)
    if kind in BY_TRACK:
        sections, columns, hidden = _by_track(spec, methods)
    else:
        sections, columns, hidden = _by_method(spec, methods, values)
    lines = list(itertools.chain(*sections))
    shown = []
    for column in columns:
        shown.append(column)
        if any(pd.notna(values.at(line.place | column.place)["paper_value"]) for line in lines):
            shown.append(column._replace(paper=True))
    has_paper = any(column.paper for column in shown)

    def row(line: _Line) -> Row:
        cells = [values.cell(line.place | column.place, column.paper) for column in shown]
        return Row(line.label, line.properties, cells)

    body = [list(map(row, section)) for section in sections if section]
    own = {True: ("paper",), False: ("ours",)} if has_paper else {False: ()}
    return Grid(
        first=BY_TRACK.get(kind, "Method"),
        properties=list(PROPERTIES) if kind == "tracks" else [],
        columns=[column.head + own[column.paper] for column in shown],
        sections=body,
        footnotes=_letter_footnotes(body),
        constants=_constants(frame, hidden, has_paper),
        references=_references(methods) if kind == "tracks" else "",
    )


def _by_method(
    spec: Mapping[str, Any], methods: Methods, values: _Values
) -> tuple[list[list[_Line]], list[_Column], list[str]]:
    """Lines, columns and the headings that all columns have in common."""
    choices = {
        "setup": list(spec["setups"]),
        "mics": [int(mics) for mics in spec["mics"]],
        "track": list(spec["tracks"]),
        "metric": list(spec["metrics"]),
        "split": sorted({split_of(track) for track in spec["tracks"]}),
    }
    levels, always = LEVELS[spec["layout"]]
    shown = [name for name in levels if len(choices[name]) > 1 or name in always]
    columns = []
    for chosen in itertools.product(*(choices[name] for name in levels)):
        place = dict(zip(levels, chosen, strict=True))
        if place.get("split", split_of(place["track"])) == split_of(place["track"]):
            columns.append(_Column(tuple(_heading(name, place[name]) for name in shown), place))

    def order(name: str) -> tuple:
        """Controls last; a leaderboard by rank."""
        ranked = spec["layout"] == "ranks"
        value = values.at({"method": name} | columns[0].place)["value"] if ranked else 0
        return bool(methods[name].get("control")), value if pd.notna(value) else math.inf

    sections: list[list[_Line]] = [[], []]
    for name in sorted(methods, key=order):
        properties = _properties(methods[name]) if spec["layout"] == "tracks" else []
        line = _Line(_label(methods[name]), properties, {"method": name})
        sections[0 if methods[name].get("paper_label") else 1].append(line)
    common = [name for name in levels if name not in shown and choices[name] != [0]]
    return sections, columns, [_heading(name, choices[name][0]) for name in common]


def _by_track(
    spec: Mapping[str, Any], methods: Methods
) -> tuple[list[list[_Line]], list[_Column], list[str]]:
    """As `_by_method`; columns are methods, then metrics, each left out where there is one."""
    names = sorted(methods, key=lambda name: bool(methods[name].get("control")))
    metrics = [METRICS[metric].label for metric in spec["metrics"]]
    cell = {"setup": spec["setups"][0], "mics": int(spec["mics"][0])}
    columns = []
    for name, metric in itertools.product(names, spec["metrics"]):
        label = _label(methods[name])
        head = [label] * (len(names) > 1) + [METRICS[metric].label] * (len(metrics) > 1)
        columns.append(_Column(tuple(head or [label]), {"method": name, "metric": metric}))
    lines = [_Line(track, [], cell | {"track": track}) for track in spec["tracks"]]
    return [lines], columns, metrics if len(metrics) == 1 else []


def _label(method: Mapping[str, Any]) -> str:
    return method.get("paper_label") or method["label"]


def _heading(level: str, value: Any) -> str:
    if level == "track":
        track, kind, count = faults.parted(value)
        return f"{track}, sources: {count:g}" if kind == mixtures.KIND else value
    texts = {"setup": f"setup {value}", "mics": f"M = {value}", "split": f"split {value}"}
    return METRICS[value].label if level == "metric" else texts.get(level, str(value))


def _constants(frame: pd.DataFrame, words: list[str], has_paper: bool) -> str:
    """Sentence with all that the headings leave out."""
    text = "Here: " + ", ".join([*words, f"data set {frame['dataset'].iloc[0]}"])
    text += "; ± is half the width of the 95 % interval." if frame["ci_low"].notna().any() else "."
    return text + (" Columns “paper” repeat the published values." if has_paper else "")


def _references(methods: Methods) -> str:
    references = "; ".join(
        f"{_label(method)}: {method['reference'].rstrip('.')}"
        for method in methods.values()
        if method.get("reference")
    )
    return f"References: {references}." if references else ""


def _number(row: Mapping[str, Any], key: str = "value", half: float = math.nan) -> str:
    """A value of a row, with its half-width where that is known."""
    if pd.isna(row[key]):
        return ""
    form = METRICS[row["metric"]].format
    return format(row[key], form) + (f" ± {half:{form}}" if pd.notna(half) else "")


def _cell(row: Mapping[str, Any]) -> Cell:
    """Our value with its half-width; N/A where a method refused; empty where nothing was run.

    The note stands in for the footnote letter until `_letter_footnotes`.
    """
    text, note = _number(row, half=(row["ci_high"] - row["ci_low"]) / 2), row["note"] or ""
    if not text and not note.startswith(NOT_COMPUTED):
        text = "N/A"
    return Cell(text, mark=note)


def _properties(method: Mapping[str, Any]) -> list[str]:
    """Texts of `PROPERTIES`."""
    count = method.get("parameters") or 0
    size = f"{count / 1e6:.1f} M" if count >= 950_000 else f"{count / 1e3:.0f} k" if count else "–"
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
            if cell.mark and cell.mark not in known:
                known[cell.mark] = next(letters)
            row.cells[number] = cell._replace(mark=known.get(cell.mark, ""))
    return [(letter, note) for note, letter in known.items()]
