"""One self-contained HTML page of a run: no network, no other file is needed to read it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files
from wavloc.errors import InputError
from wavloc.provenance import digest
from wavloc.reporting import tables as tidy

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0;
  --paper: #fff; --shade: #f4f6f8; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa4af; --line: #3a424b;
  --paper: #14181c; --shade: #1e242a; --link: #78b4f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
a { color: var(--link); } p { margin: .4rem 0; max-width: 60rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
.soft, .notes, figcaption { color: var(--soft); font-size: .9rem; }
.box { overflow-x: auto; margin: .75rem 0; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; text-align: left; white-space: nowrap; }
th.n, td.n { text-align: right; } td.long { white-space: normal; min-width: 16rem; }
thead th { background: var(--shade); border-bottom: 2px solid var(--line); cursor: pointer;
  vertical-align: bottom; white-space: normal; }
section > .box :is(th, td):first-child { position: sticky; left: 0; background: var(--paper); }
section > .box thead th:first-child { background: var(--shade); }
thead th[aria-sort=ascending]::after { content: " \\2191"; }
thead th[aria-sort=descending]::after { content: " \\2193"; }
tbody tr + tr td { border-top: 1px solid var(--line); }
tbody + tbody tr:first-child td { border-top: 2px solid var(--soft); }
section > .box tr.rule td { font-style: italic; background: var(--shade); }
figure { margin: 1.25rem 0; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; padding: .5rem; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--link); }
pre { background: var(--shade); padding: .75rem; border-radius: 6px; overflow-x: auto;
  font-size: .82rem; }
"""
# Sorts the rows inside each body, numbers by value, rows without one last.
SCRIPT = """
document.querySelectorAll("thead th").forEach(head => {
  const sort = () => {
    const column = head.cellIndex, table = head.closest("table");
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = row => row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const x = parseFloat(text(a)), y = parseFloat(text(b));
      const order = head.classList.contains("n") && !(isNaN(x) && isNaN(y))
        ? (isNaN(x) ? Infinity : isNaN(y) ? -Infinity : (up ? x - y : y - x))
        : (up ? 1 : -1) * text(a).localeCompare(text(b));
      return order;
    };
    for (const body of table.tBodies)
      [...body.rows].filter(row => !row.classList.contains("rule")).sort(compare)
        .forEach(row => body.append(row));
  };
  head.tabIndex = 0;
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
});
"""


def write_report(
    out: str | Path,
    title: str,
    profile: str,
    data_note: str,
    tables: Sequence[tuple[Path, Path]],
    figures: Sequence[tuple[Path, str]],
    benchmarks: Path | None,
    provenance: Mapping[str, Any],
    config: Mapping[str, Any],
    sources: Sequence[tuple[str, str, str]],
    notes: Sequence[str] = (),
) -> None:
    """Write the page. tables: (csv, md) pairs; figures: (png, caption) pairs; benchmarks: folder
    of Snakemake benchmark files; config: the run's configuration; sources: (what, where from,
    licence) of data and sound.
    """
    frames = [(tidy.read(csv), md) for csv, md in tables]
    sections = {
        "Summary": _summary(profile, data_note, notes, frames, figures),
        "Tables": "".join(_paper_table(frame, md) for frame, md in frames) or _none("table"),
        "Figures": "".join(_figure(*figure) for figure in figures) or _none("figure"),
        "Run times": _run_times(benchmarks),
        "Not computed": _gaps([frame for frame, _ in frames]),
        "Provenance": _provenance(provenance, config),
        "Data sources and licences": _sources(sources),
    }
    links = "".join(f'<a href="#{_anchor(name)}">{_text(name)}</a>' for name in sections)
    body = "".join(
        f'<section id="{_anchor(name)}"><h2>{_text(name)}</h2>{content}</section>\n'
        for name, content in sections.items()
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{_text(title)}</h1><nav>{links}</nav>\n{body}<script>{SCRIPT}</script></body></html>\n"
    )
    files.write_text(out, page)


def _text(value: Any) -> str:
    return html.escape(str(value))


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _none(what: str) -> str:
    return f'<p class="soft">This run made no {what}.</p>'


def _table(heads: Sequence[str], bodies: Sequence[Sequence[str]], numeric: Iterable[int]) -> str:
    """Sortable table of ready cells: each body is a list of ``<tr>`` elements."""
    numeric = set(numeric)
    row = "".join(
        f"<th{' class=n' if number in numeric else ''}>{head}</th>"
        for number, head in enumerate(heads)
    )
    rows = "".join(f"<tbody>{''.join(body)}</tbody>\n" for body in bodies if body)
    return f'<div class="box"><table><thead><tr>{row}</tr></thead>\n{rows}</table></div>'


def _plain(heads: Sequence[str], rows: Iterable[Sequence[Any]], numeric: Iterable[int] = ()) -> str:
    """Sortable table of plain values; long texts wrap."""
    numeric = set(numeric)

    def cell(number: int, value: Any) -> str:
        text = str(value)
        kind = " class=n" if number in numeric else " class=long" if len(text) > 60 else ""
        return f"<td{kind}>{_text(text)}</td>"

    body = [
        "<tr>" + "".join(cell(n, value) for n, value in enumerate(row)) + "</tr>" for row in rows
    ]
    return _table([_text(head) for head in heads], [body], numeric)


def _summary(
    profile: str, data_note: str, notes: Sequence[str], frames: Sequence, figures: Sequence
) -> str:
    cells = [frame["value"].notna() for frame, _ in frames]
    total, known = sum(map(len, cells)), sum(int(cell.sum()) for cell in cells)
    lines = [
        f"Profile: <strong>{_text(profile)}</strong>. {_text(data_note)}",
        f"{len(frames)} tables with {known} of {total} values computed, {len(figures)} figures.",
        *map(_text, notes),
    ]
    return "".join(f"<p>{line}</p>" for line in lines)


def _inline(text: str) -> str:
    """The inline Markdown that `tables.to_markdown` writes, as HTML."""
    text = _text(html.unescape(text.replace("\\|", "|")))
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"&lt;sup&gt;(\w+)&lt;/sup&gt;", r"<sup>\1</sup>", text)


def _paper_table(frame: pd.DataFrame, md: Path) -> str:
    """A table as in its Markdown file, and below it, folded, every number of its csv."""
    try:
        lines = md.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{md}: not readable ({error.strerror})") from None
    grid = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    if len(grid) < 3:
        raise InputError(f"{md}: expected a Markdown table with at least one row")
    heads, marks, *rows = [[cell.strip() for cell in row] for row in grid]
    numeric = [number for number, mark in enumerate(marks) if mark.endswith("-:")]
    bodies: list[list[str]] = [[]]
    for row in rows:
        if not any(row[1:]):
            rule = _inline(row[0].strip("*"))
            bodies.append([f'<tr class="rule"><td colspan="{len(row)}">{rule}</td></tr>'])
            continue
        cells = "".join(
            f"<td{' class=n' if number in numeric else ''}>{_inline(cell)}</td>"
            for number, cell in enumerate(row)
        )
        bodies[-1].append(f"<tr>{cells}</tr>")
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    last = max(number for number, line in enumerate(lines) if line.startswith("|"))
    before = [line for line in lines[:first] if line]
    heading = before[0].removeprefix("## ") if before else frame["table"].iloc[0]
    notes = "".join(f"<p>{_inline(line.strip())}</p>" for line in lines[last + 1 :] if line)
    captions = "".join(f'<p class="soft">{_inline(line)}</p>' for line in before[1:])
    shown = [name for name in frame if name not in ("table", "note")]
    numbers = [n for n, name in enumerate(shown) if frame[name].dtype.kind in "fi"]
    values = [
        ["" if pd.isna(row[name]) else f"{row[name]:g}" if n in numbers else row[name]
         for n, name in enumerate(shown)]
        for row in frame.to_dict("records")
    ]  # fmt: skip
    return (
        f"<h3>{_inline(heading)}</h3>{captions}"
        f"{_table([_inline(head) for head in heads], bodies, numeric)}"
        f'<div class="notes">{notes}</div>'
        f"<details><summary>All {len(frame)} values with 95 % intervals</summary>"
        f"{_plain(shown, values, numbers)}</details>"
    )


def _figure(png: Path, caption: str) -> str:
    try:
        data = base64.b64encode(Path(png).read_bytes()).decode()
    except OSError as error:
        raise InputError(f"{png}: not readable ({error.strerror})") from None
    text = _text(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _run_times(folder: Path | None) -> str:
    """Sum and maximum of seconds and peak memory (MB) per rule, longest first."""
    rows = []
    for path in sorted(Path(folder).rglob("*.tsv")) if folder else []:
        try:
            stored = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not readable as a benchmark ({error})") from None
        if not {"s", "max_rss"} <= set(stored):
            raise InputError(f"{path}: expected a Snakemake benchmark with columns s and max_rss")
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv").split(".")[0]
        rows.append(stored[["s", "max_rss"]].astype(float).assign(rule=rule))
    if not rows:
        return '<p class="soft">This run kept no run times.</p>'
    grouped = pd.concat(rows).groupby("rule")
    times = grouped.agg(
        jobs=("s", "size"), total=("s", "sum"), top=("s", "max"), peak=("max_rss", "max")
    )
    times = times.reset_index().sort_values(["total", "rule"], ascending=[False, True])
    cells = [
        [row.rule, row.jobs, f"{row.total:.1f}", f"{row.top:.1f}",
         "" if pd.isna(row.peak) else f"{row.peak:.0f}"]
        for row in times.itertuples()
    ]  # fmt: skip
    together = f"<p>All rules: {times.jobs.sum()} jobs, {times.total.sum():.1f} s of job time.</p>"
    heads = ["rule", "jobs", "sum (s)", "longest (s)", "peak memory (MB)"]
    return together + _plain(heads, cells, range(1, 5))


def _gaps(frames: Sequence[pd.DataFrame]) -> str:
    """Cells without a value, equal reasons of a method together."""
    empty = [frame[frame["value"].isna()] for frame in frames]
    gaps = pd.concat(empty) if empty else pd.DataFrame()
    if gaps.empty:
        return "<p>Every cell of every table was computed.</p>"
    keys = ["table", "method", "setup", "note"]

    def several(values: pd.Series) -> str:
        return ", ".join(dict.fromkeys(map(str, values)))

    grouped = gaps.groupby(keys, sort=False)[["mics", "track", "metric"]].agg(several).reset_index()
    heads = ["table", "method", "setup", "mics", "track", "metric", "note"]
    labels = [*heads[:-1], "reason"]
    return _plain(labels, grouped[heads].itertuples(index=False))


def _provenance(stamp: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    rows = []
    for key, value in stamp.items():
        nested = value.items() if isinstance(value, Mapping) else [("", value)]
        rows += [(f"{key} {name}".strip(), item) for name, item in nested]
    rows.append(("config digest", digest(config)))
    text = json.dumps(config, indent=1, sort_keys=True, default=str, ensure_ascii=False)
    return (
        _plain(["what", "value"], rows)
        + f"<details><summary>Whole configuration</summary><pre>{_text(text)}</pre></details>"
    )


def _sources(rows: Sequence[tuple[str, str, str]]) -> str:
    """Where data and sound come from; addresses are text, not links."""
    return _plain(["what", "source", "licence"], rows) if rows else _none("use of data")
