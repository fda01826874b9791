"""Tidy tables from metrics files, written as csv, Markdown and LaTeX that look like the paper's."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files
from wavloc.errors import InputError
from wavloc.reporting.grid import EVERYWHERE, METRICS, NOT_COMPUTED, Cell, Grid, layout

CELL = ["track", "setup", "method", "mics", "metric"]
NUMBERS = ["value", "ci_low", "ci_high", "failure_rate", "paper_value", "paper_halfwidth"]
COLUMNS = ["table", "dataset", *CELL, "unit", *NUMBERS[:3], "n_frames", *NUMBERS[3:], "note"]
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "“": "``",
    "”": "''",
} | {character: "\\" + character for character in "&%$#_{}"}


def read(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a tidy csv; names stay text, empty text is empty, ``columns`` must be there."""
    text = dict.fromkeys(("table", "dataset", "track", "setup", "method", "metric", "unit"), str)
    try:
        frame = pd.read_csv(path, dtype=text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as csv ({error})") from None
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing (found: {list(frame.columns)})")
    for name in ("note", "unit"):
        if name in frame:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    return frame


def metrics_of(spec: Mapping[str, Any]) -> list[str]:
    """Metrics in the csv of a table: those shown, then the others that every cell has."""
    errors = any(metric in EVERYWHERE for metric in spec["metrics"])
    return list(dict.fromkeys([*spec["metrics"], *(EVERYWHERE if errors else ())]))


def with_tracks(spec: Mapping[str, Any], found: Sequence[str]) -> dict[str, Any]:
    """The spec; where it names no tracks, with those found, in their order."""
    return dict(spec) | {"tracks": spec.get("tracks") or list(dict.fromkeys(found))}


def assemble(
    name: str,
    spec: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[Path],
    paper: Path | None = None,
) -> pd.DataFrame:
    """One row per expected (track, setup, mics, method, metric), in the order of the spec.

    A cell that no metrics file holds gets an empty value and a note that starts with "not
    computed". In tables of errors every cell has all metrics of `EVERYWHERE`, shown or not; a spec
    without tracks has those of the metrics files. ``paper`` is a csv of published values, joined
    to exactly the cells it names.
    """
    found: dict[tuple, dict[str, Any]] = {}
    for path in metrics:
        rows = read(path, ["dataset", *CELL, "unit", "value", "ci_low", "ci_high", "note"])
        for row in rows[rows["dataset"] == spec["dataset"]].to_dict("records"):
            key = tuple(row[column] for column in CELL)
            if key in found:
                raise InputError(f"{path}: cell {key} of {spec['dataset']} is there twice")
            found[key] = row
    spec = with_tracks(spec, [key[0] for key in found])
    if not spec["tracks"]:
        raise InputError(f"{name}: no metrics file has a row of data set {spec['dataset']}")
    published = _published(name, paper) if paper else {}
    computed = {key[:-1] for key in found}
    for metric in spec["metrics"]:
        if metric not in METRICS:
            raise InputError(f"{name}.metrics: '{metric}', expected one of {', '.join(METRICS)}")

    table = []
    cells = itertools.product(
        spec["tracks"], spec["setups"], spec["mics"], methods, metrics_of(spec)
    )
    for track, setup, mics, method, metric in cells:
        key = (track, setup, method, int(mics), metric)
        row = dict(found.get(key, {}))
        unit = METRICS[metric].unit
        if not row and key[:-1] in computed:
            row["note"] = f"{NOT_COMPUTED}: the metrics of this cell lack '{metric}'"
        elif not row:
            row["note"] = f"{NOT_COMPUTED}: no metrics for this cell"
        elif row["unit"] != unit:
            raise InputError(f"cell {key}: unit '{row['unit']}', expected '{unit}'")
        elif pd.isna(row["value"]) and not row["note"]:
            row["note"] = "no frame could be located"
        row |= dict(zip(CELL, key, strict=True)) | published.get(key, {})
        table.append(row | {"table": name, "dataset": spec["dataset"], "unit": unit})
    frame = pd.DataFrame(table, columns=COLUMNS)
    # Rounded here, not in the file only, so that -0.0 and the last bits never reach a table.
    frame[NUMBERS] = frame[NUMBERS].astype(float).round(4) + 0.0
    return frame.astype({"mics": "Int64", "n_frames": "Int64"})


def _published(name: str, path: Path) -> dict[tuple, dict[str, float]]:
    """Published values of one table by cell, as printed in the paper."""
    rows = read(path, ["table", *CELL, "paper_value", "paper_halfwidth"])
    values: dict[tuple, dict[str, float]] = {}
    for row in rows[rows["table"] == name].to_dict("records"):
        key = tuple(row[column] for column in CELL)
        if key in values:
            raise InputError(f"{path}: cell {key} of {name} is there twice")
        values[key] = {column: row[column] for column in ("paper_value", "paper_halfwidth")}
    return values


def to_markdown(
    frame: pd.DataFrame,
    spec: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    caption: str = "",
) -> str:
    """The paper-like table in Markdown. ``caption`` replaces the one of the spec."""
    grid = layout(frame, with_tracks(spec, frame["track"]), methods)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def show(cell: Cell) -> str:
        text = f"**{cell.text}**" if cell.bold else cell.text
        return text + (f"<sup>{cell.mark}</sup>" if cell.mark else "")

    heads = [" ".join(part for part in head if part not in ("", "ours")) for head in grid.columns]
    aligned = [":--"] + ["--:"] * len(heads)
    body = [line([grid.first, *map(_pipes, grid.properties), *map(_pipes, heads)])]
    body.append(line([*aligned[:1], *[":--"] * len(grid.properties), *aligned[1:]]))
    for number, section in enumerate(grid.sections):
        if number:
            blank = [""] * (len(grid.properties) + len(heads))
            body.append(line(["*Further methods*", *blank]))
        for row in section:
            body.append(line([*map(_pipes, [row.label, *row.properties]), *map(show, row.cells)]))
    notes = [f"<sup>{mark}</sup> {_pipes(text)}  " for mark, text in grid.footnotes]
    parts = [f"## {spec['title']}", _pipes(caption or spec["caption"]), _pipes(grid.constants)]
    parts += ["\n".join(body), "\n".join(notes), _pipes(grid.references)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _pipes(text: str) -> str:
    """Text that cannot break out of a Markdown table cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def to_latex(
    frame: pd.DataFrame,
    spec: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    caption: str = "",
) -> str:
    """The paper-like table as a LaTeX float (package booktabs). ``caption`` as in `to_markdown`."""
    grid = layout(frame, with_tracks(spec, frame["track"]), methods)
    lead = 1 + len(grid.properties)
    width = lead + len(grid.columns)

    def show(cell: Cell) -> str:
        text = rf"\textbf{{{escape(cell.text)}}}" if cell.bold else escape(cell.text)
        return text + (rf"\textsuperscript{{{cell.mark}}}" if cell.mark else "")

    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape(' '.join([caption or spec['caption'], grid.constants]).strip())}}}",
        rf"\label{{tab:{frame['table'].iloc[0]}}}",
        r"\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{{'l' * lead}{'r' * len(grid.columns)}}}",
        r"\toprule",
        *_latex_head(grid, lead),
        r"\midrule",
    ]
    for number, section in enumerate(grid.sections):
        if number:
            lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{Further methods}}}} \\"]
        for row in section:
            cells = [*map(escape, [row.label, *row.properties]), *map(show, row.cells)]
            lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [rf"\textsuperscript{{{mark}}}~{escape(text)}" for mark, text in grid.footnotes]
    notes += [escape(grid.references)] if grid.references else []
    if notes:
        lines += [r"\par\smallskip\raggedright\scriptsize", (" \\\\\n").join(notes)]
    return "\n".join([*lines, r"\end{table*}", ""])


def _latex_head(grid: Grid, lead: int) -> list[str]:
    """Header rows: one per level, equal neighbours under a common heading with a thin rule."""
    lines = []
    levels = len(grid.columns[0])
    for level in range(levels):
        last = level == levels - 1
        cells = [grid.first, *map(escape, grid.properties)] if last else [""] * lead
        rules, start = [], lead + 1
        groups = itertools.groupby(grid.columns, key=lambda head, depth=level: head[: depth + 1])
        for head, members in groups:
            span = len(list(members))
            text = escape(head[-1])
            cells.append(text if last else rf"\multicolumn{{{span}}}{{c}}{{{text}}}")
            rules += [rf"\cmidrule(lr){{{start}-{start + span - 1}}}"] if not last else []
            start += span
        lines += [" & ".join(cells) + r" \\", *(["".join(rules)] if rules else [])]
    return lines


def escape(text: str) -> str:
    """Plain text as LaTeX."""
    return "".join(LATEX.get(character, character) for character in text)


def write(
    stem: str | Path,
    frame: pd.DataFrame,
    spec: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    caption: str = "",
) -> None:
    """Write ``<stem>.csv`` (tidy), ``<stem>.md`` and ``<stem>.tex``, each atomically."""
    texts = {
        "csv": frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
        "md": to_markdown(frame, spec, methods, caption),
        "tex": to_latex(frame, spec, methods, caption),
    }
    for suffix, text in texts.items():
        files.write_text(f"{stem}.{suffix}", text)
