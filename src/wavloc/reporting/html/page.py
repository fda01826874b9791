"""The page of a run: its sections, put together from what they show."""

import base64
import itertools
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files
from wavloc.errors import InputError
from wavloc.provenance import digest
from wavloc.reading import READING
from wavloc.reporting import tables
from wavloc.reporting.html import training, view
from wavloc.reporting.html.markup import anchor, asset, folded, markdown, scrolling, table, text

GAP_COLUMNS = ["table", "note", "method", "setup", "mics", "track", "metric"]


@dataclass(frozen=True)
class Content:
    """What the page shows. tables: (csv, md) pairs; figures: (png, caption) pairs; views: see
    `view.views`; benchmarks: folder of Snakemake benchmark files; sources: (what, where from,
    licence) of data and sound; deviations: Markdown.
    """

    title: str
    profile: str
    data_note: str
    tables: Sequence[tuple[Path, Path]] = ()
    figures: Sequence[tuple[Path, str]] = ()
    views: Sequence[Mapping[str, Any]] = ()
    models: Sequence[training.Model] = ()
    benchmarks: Path | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    sources: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = ()
    deviations: str = ""
    banner: str = ""  # HTML


def write_report(out: str | Path, content: Content) -> None:
    """Write the page; equal content gives equal bytes."""
    frames = [tables.read(csv) for csv, _ in content.tables]
    pages = [md.read_text(encoding="utf-8") for _, md in content.tables]
    headings = [page.splitlines()[0].removeprefix("## ") for page in pages]
    sources = table("sources", ["what", "source", "licence"], content.sources)
    sections = {
        "Summary": _summary(content, frames),
        "Tables": _links(headings)
        + "".join(map(_paper_table, headings, pages, frames))
        + ("" if frames else _none("table")),
        "Figures": "".join(itertools.starmap(_figure, content.figures)) or _none("figure"),
        "Tracks in 3-D": view.section(content.views) if content.views else _none("track"),
        "Training": training.section(content.models) if content.models else _none("model"),
        "Run times": _run_times(content.benchmarks),
        "Not computed": _gaps(frames),
        "Provenance": _provenance(content.provenance, content.config),
        "Data sources and licences": sources if content.sources else _none("use of data"),
        "Deviations": _deviations(content.deviations),
    }
    body = "".join(
        f'<section id="{anchor(name)}"><h2>{text(name)}</h2>{shown}</section>\n'
        for name, shown in sections.items()
    )
    # sort.js makes buttons of table headings, so that the keyboard reaches them.
    names = ["sort.js", *(["view.js"] if content.views else [])]
    scripts = "".join(f"<script>\n{asset(name)}</script>" for name in names)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{text(content.title)}</title>'
        f"<style>\n{asset('report.css')}</style></head>\n"
        f"<body><h1>{text(content.title)}</h1>{_links(sections)}\n{body}"
        f"{scripts}</body></html>\n"
    )
    files.write_text(out, page)


def _none(what: str) -> str:
    return f'<p class="soft">This run made no {what}.</p>'


def _links(headings: Sequence[str] | Mapping[str, Any]) -> str:
    links = "".join(f'<a href="#{anchor(name)}">{text(name)}</a>' for name in headings)
    return f"<nav>{links}</nav>" if links else ""


def _summary(content: Content, frames: Sequence[pd.DataFrame]) -> str:
    known = [frame["value"].notna() for frame in frames if "note" in frame]  # of methods
    lines = [content.banner] if content.banner else []
    lines += [
        f"Profile: <strong>{text(content.profile)}</strong>. {text(content.data_note)}",
        f"{len(frames)} tables with {sum(int(cells.sum()) for cells in known)} of "
        f"{sum(map(len, known))} values computed, {len(content.figures)} figures, "
        f"{len(content.models)} trained models.",
        f"How to read them: {text(READING)}",
        *map(text, content.notes),
    ]
    return "".join(f"<p>{line}</p>" for line in lines)


def _paper_table(heading: str, page: str, frame: pd.DataFrame) -> str:
    """A table as in its Markdown file, and below it, folded, every number of its csv."""
    body = markdown(page.partition("\n")[2])
    return (
        f'<article id="{anchor(heading)}" class="table"><h3>{text(heading)}</h3>{body}'
        f"{folded(f'All {len(frame)} rows of the csv', _values(frame))}</article>"
    )


def _values(frame: pd.DataFrame) -> str:
    """Every row; what all rows have in common stands above them."""
    frame = frame.dropna(axis="columns", how="all").drop(columns=["table"], errors="ignore")
    common = [name for name in frame if len(frame) > 1 and frame[name].nunique(dropna=False) == 1]
    said = ", ".join(
        f"{name} {frame[name].iloc[0]}" for name in common if frame[name].iloc[0] != ""
    )
    frame = frame.drop(columns=common)
    numbers = [n for n, name in enumerate(frame) if pd.api.types.is_numeric_dtype(frame[name])]
    rows = [
        ["" if pd.isna(value) else f"{value:g}" if n in numbers else value
         for n, value in enumerate(row)]
        for row in frame.itertuples(index=False)
    ]  # fmt: skip
    above = f'<p class="soft">In all rows: {text(said)}.</p>' if said else ""
    return above + table("values", list(frame.columns), rows, numbers)


def _figure(png: Path, caption: str) -> str:
    picture = png.read_bytes()
    if picture[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(f"{png}: not a PNG picture")
    # Half its pixels: pictures have twice the resolution of a usual screen.
    width, height = (side // 2 for side in struct.unpack(">2I", picture[16:24]))
    image = (
        f'<img alt="{text(caption)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    )
    return (
        f'<figure id="{text(png.stem)}">{scrolling(image, caption, "wide")}'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def read_benchmarks(folder: Path | None) -> pd.DataFrame:
    """Seconds and peak memory (MB) of every job: columns rule, job, s, max_rss."""
    rows = []
    for path in sorted(folder.rglob("*.tsv")) if folder else []:
        try:
            stored = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not readable as a benchmark ({error})") from None
        if not {"s", "max_rss"} <= set(stored):
            raise InputError(f"{path}: expected a Snakemake benchmark with columns s and max_rss")
        rule, _, job = str(path)[len(str(folder)) + 1 : -len(".tsv")].partition("/")
        rows.append(stored[["s", "max_rss"]].astype(float).assign(rule=rule, job=job))
    return pd.concat(rows) if rows else pd.DataFrame(columns=["s", "max_rss", "rule", "job"])


def _run_times(folder: Path | None) -> str:
    """Seconds and peak memory per rule, longest first."""
    jobs = read_benchmarks(folder)
    if jobs.empty:
        return '<p class="soft">This run kept no run times.</p>'
    total, cells = jobs["s"].sum(), []
    for rule, members in sorted(jobs.groupby("rule"), key=lambda group: -group[1]["s"].sum()):
        seconds, peak = members["s"].sum(), members["max_rss"].max()
        longest = members.sort_values("s", ascending=False, kind="stable").iloc[0]
        shares = f"{seconds:.1f}", f"{100 * seconds / total:.1f}", f"{longest['s']:.1f}"
        memory = "" if pd.isna(peak) else f"{peak:.0f}"
        cells.append([rule, len(members), *shares, longest["job"], memory])
    heads = ["rule", "jobs", "sum (s)", "share (%)", "longest (s)", "longest job"]
    return (
        f"<p>All rules: {len(jobs)} jobs, {total:.1f} s of job time (jobs side by side count each)."
        " Training and simulation jobs that went on after an interruption show their last part.</p>"
        + table("run times", [*heads, "peak memory (MB)"], cells, (1, 2, 3, 4, 6))
    )


def _gaps(frames: Sequence[pd.DataFrame]) -> str:
    """Cells without a value: what has a reason, a method, then everything else in common."""
    empty = [
        frame[frame["value"].isna()].reindex(columns=GAP_COLUMNS, fill_value="").astype(str)
        for frame in frames
        if "note" in frame
    ]
    gaps = pd.concat(empty) if empty else pd.DataFrame()
    if gaps.empty:
        return "<p>Every cell of every table was computed.</p>"
    for merged in (["mics", "track", "metric"], ["method"]):
        keys = [name for name in GAP_COLUMNS if name not in merged]
        gaps = gaps.groupby(keys, sort=False)[merged].agg(_joined).reset_index()
    heads = ["reason" if name == "note" else name for name in GAP_COLUMNS]
    return table("not computed", heads, gaps[GAP_COLUMNS].itertuples(index=False))


def _joined(values: pd.Series) -> str:
    return ", ".join(values.unique())


def _provenance(stamp: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    rows = []
    for key, value in stamp.items():
        nested = value.items() if isinstance(value, Mapping) else [("", value)]
        rows += [(f"{key} {name}".strip(), item) for name, item in nested]
    rows.append(("config digest", digest(config)))
    whole = json.dumps(config, indent=1, sort_keys=True, default=str, ensure_ascii=False)
    return table("provenance", ["what", "value"], rows) + folded(
        "Whole configuration", f"<pre>{text(whole)}</pre>"
    )


def _deviations(source: str) -> str:
    """The list of departures from the papers, folded; its own title is the section's."""
    if not source:
        return '<p class="soft">The list of deviations was not given to this report.</p>'
    title, _, rest = source.partition("\n")
    return folded(title.removeprefix("# "), markdown(rest))
