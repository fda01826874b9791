"""The page of a run: its sections, put together from what they show."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from wavloc import files
from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS
from wavloc.provenance import digest
from wavloc.reading import READING
from wavloc.reporting import tables
from wavloc.reporting.html import training, view, wins
from wavloc.reporting.html.markup import markdown
from wavloc.reporting.html.templates import render

NIGHT = "results/published/night"
FRAMES_PAGE = "figures/single_frames.html"  # beside the report
SIDES = ("lower", "higher")  # `Metric.better`
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
    frames_page: bool = False  # whether the page of single frames is there
    models: Sequence[training.Model] = ()
    shares: Mapping[str, Any] | None = None  # see `shares.section`
    benchmarks: Path | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    sources: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = ()
    deviations: str = ""
    banner: str = ""  # "minutes" or "night": how long reduced networks were trained


def write_report(out: str | Path, content: Content) -> None:
    """Write the page; equal content gives equal bytes."""
    frames = [tables.read(csv) for csv, _ in content.tables]
    pages = [md.read_text(encoding="utf-8") for _, md in content.tables]
    known = [frame["value"].notna() for frame in frames if "note" in frame]  # of methods
    methods = content.config.get("methods", {})
    better = {side: [m.label for m in METRICS.values() if m.better == side] for side in SIDES}
    page = render(
        "report.html",
        title=content.title,
        profile=content.profile,
        data_note=content.data_note,
        banner=content.banner,
        night=NIGHT,
        wins=wins.figure(_apart(frames, content.config), methods),
        counts={
            "tables": len(frames),
            "known": sum(int(cells.sum()) for cells in known),
            "cells": sum(map(len, known)),
            "figures": len(content.figures),
            "models": len(content.models),
        },
        reading=READING,
        notes=content.notes,
        filters=_filters(frames, methods),
        tables=[_paper_table(*parts) for parts in zip(pages, frames, strict=True)],
        figures=[_figure(*parts) for parts in content.figures],
        frames_page=FRAMES_PAGE if content.frames_page else "",
        view=view.section(content.views),
        models=training.section(content.models),
        shares=content.shares,
        times=_run_times(content.benchmarks),
        gaps={
            "heads": ["reason" if name == "note" else name for name in GAP_COLUMNS],
            "rows": _gaps(frames),
        },
        provenance=_provenance(content.provenance, content.config),
        configuration=json.dumps(
            content.config, indent=1, sort_keys=True, default=str, ensure_ascii=False
        ),
        sources=content.sources,
        deviations=_deviations(content.deviations),
        **better,
    )
    files.write_text(out, page)


def _apart(frames: Sequence[pd.DataFrame], config: Mapping[str, Any]) -> list[pd.DataFrame]:
    """The tables without those that show the frames of another one by condition."""
    specs = config.get("tables", {}).items()
    again = {name for name, spec in specs if spec["layout"] == "conditions"}
    return [f for f in frames if "table" not in f or not again.intersection(f["table"])]


def _filters(frames: Sequence[pd.DataFrame], methods: Mapping[str, Any]) -> list[str]:
    """Labels of the methods of all tables, in the order of the configuration."""
    shown = {name for frame in frames if "method" in frame for name in frame["method"].dropna()}
    return list(dict.fromkeys(methods[n].get("label", n) for n in methods if n in shown))


def _paper_table(page: str, frame: pd.DataFrame) -> dict[str, Any]:
    """A table as in its Markdown file, and every number of its csv."""
    first, _, rest = page.partition("\n")
    heading = first.removeprefix("## ")
    body = Markup(markdown(rest, title=heading))  # Markdown's own text is escaped
    return {"heading": heading, "body": body, "count": len(frame)} | _values(frame)


def _values(frame: pd.DataFrame) -> dict[str, Any]:
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
    return {"common": said, "heads": list(frame.columns), "rows": rows, "numeric": numbers}


def _figure(png: Path, caption: str) -> dict[str, Any]:
    picture = png.read_bytes()
    if picture[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(f"{png}: not a PNG picture")
    # Half its pixels: pictures have twice the resolution of a usual screen.
    width, height = (side // 2 for side in struct.unpack(">2I", picture[16:24]))
    data = base64.b64encode(picture).decode()
    return {"id": png.stem, "caption": caption, "width": width, "height": height, "data": data}


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


def _run_times(folder: Path | None) -> dict[str, Any] | None:
    """Seconds and peak memory per rule, longest first; None where none were kept."""
    jobs = read_benchmarks(folder)
    if jobs.empty:
        return None
    total, cells = jobs["s"].sum(), []
    for rule, members in sorted(jobs.groupby("rule"), key=lambda group: -group[1]["s"].sum()):
        seconds, peak = members["s"].sum(), members["max_rss"].max()
        longest = members.sort_values("s", ascending=False, kind="stable").iloc[0]
        shares = f"{seconds:.1f}", f"{100 * seconds / total:.1f}", f"{longest['s']:.1f}"
        memory = "" if pd.isna(peak) else f"{peak:.0f}"
        cells.append([rule, len(members), *shares, longest["job"], memory])
    heads = ["rule", "jobs", "sum (s)", "share (%)", "longest (s)", "longest job"]
    return {
        "jobs": len(jobs),
        "total": f"{total:.1f}",
        "heads": [*heads, "peak memory (MB)"],
        "rows": cells,
        "numeric": (1, 2, 3, 4, 6),
    }


def _gaps(frames: Sequence[pd.DataFrame]) -> list[Any]:
    """Cells without a value: what has a reason, a method, then everything else in common."""
    empty = [
        frame[frame["value"].isna()].reindex(columns=GAP_COLUMNS, fill_value="").astype(str)
        for frame in frames
        if "note" in frame
    ]
    gaps = pd.concat(empty) if empty else pd.DataFrame()
    if gaps.empty:
        return []
    for merged in (["mics", "track", "metric"], ["method"]):
        keys = [name for name in GAP_COLUMNS if name not in merged]
        gaps = gaps.groupby(keys, sort=False)[merged].agg(_joined).reset_index()
    return list(gaps[GAP_COLUMNS].itertuples(index=False))


def _joined(values: pd.Series) -> str:
    return ", ".join(values.unique())


def _provenance(stamp: Mapping[str, Any], config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows = []
    for key, value in stamp.items():
        nested = value.items() if isinstance(value, Mapping) else [("", value)]
        rows += [(f"{key} {name}".strip(), item) for name, item in nested]
    return [*rows, ("config digest", digest(config))]


def _deviations(source: str) -> dict[str, Any] | None:
    """The list of departures from the papers, folded; its own title is the section's."""
    title, _, rest = source.partition("\n")
    body = Markup(markdown(rest))  # Markdown's own text is escaped
    return {"title": title.removeprefix("# "), "body": body} if source else None
