"""The reproduction view: does our interval cover what the paper printed, cell by cell?

Judged only where the data are the paper's own; a stand-in says so instead.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from wavloc import files
from wavloc.evaluation.metrics import METRICS
from wavloc.reporting.tables import tidy

COVERED, MISSED, UNJUDGED = "covered", "not covered", "not judged"
COLUMNS = [
    *("table", "dataset", *tidy.CELL, "unit", "value", "ci_low", "ci_high"),
    *("paper_value", "paper_halfwidth", "verdict", "reason"),
]


def view(csvs: Sequence[Path], papers_data: Collection[str]) -> pd.DataFrame:
    """A row per cell that the paper prints. papers_data: datasets that are the paper's own."""
    rows = []
    for path in csvs:
        frame = tidy.read(path, tidy.COLUMNS)
        for row in frame[frame["paper_value"].notna()].to_dict("records"):
            verdict, reason = _judge(row, row["dataset"] in papers_data)
            rows.append(row | {"verdict": verdict, "reason": reason})
    return pd.DataFrame(rows, columns=COLUMNS)


def _judge(row: dict, papers_data: bool) -> tuple[str, str]:
    if not papers_data:
        return UNJUDGED, "not the paper's data"
    if pd.isna(row["value"]):
        return UNJUDGED, row["note"]
    if pd.isna(row["ci_low"]) or pd.isna(row["ci_high"]):
        return UNJUDGED, "no interval"
    inside = row["ci_low"] <= row["paper_value"] <= row["ci_high"]
    return (COVERED, "") if inside else (MISSED, "")


def to_markdown(frame: pd.DataFrame, caption: str = "") -> str:
    """The same as Markdown, with the count of verdicts above."""
    counts = frame["verdict"].value_counts()
    judged = int(counts.get(COVERED, 0) + counts.get(MISSED, 0))
    summary = f"{counts.get(COVERED, 0)} of {judged} judged cells are covered by our interval"
    summary += f"; {counts.get(UNJUDGED, 0)} could not be judged." if len(frame) > judged else "."
    if not judged:
        summary = f"None of the {len(frame)} cells that the papers print is judged."
    lines = ["## Reproduction", *([caption] if caption else []), summary]
    heads = ["Table", "Method", "Track", "Setup", "M", "Metric", "ours", "paper", "verdict"]
    body = ["| " + " | ".join(heads) + " |", "| " + " | ".join([":--"] * len(heads)) + " |"]
    for row in frame.to_dict("records"):
        metric = METRICS[row["metric"]]
        ours = "" if pd.isna(row["value"]) else format(row["value"], metric.format)
        if ours and pd.notna(row["ci_low"]):
            ours += f" [{row['ci_low']:{metric.format}}, {row['ci_high']:{metric.format}}]"
        verdict = row["verdict"] + (f": {row['reason']}" if row["reason"] else "")
        cell = [str(row[name]) for name in ("table", "method", "track", "setup", "mics")]
        paper = format(row["paper_value"], metric.format)
        if pd.notna(row["paper_halfwidth"]):
            paper += f" ± {row['paper_halfwidth']:{metric.format}}"
        cells = [*cell, metric.label, ours, paper, verdict]
        body.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n\n".join([*lines, "\n".join(body)]) + "\n"


def write(stem: str | Path, frame: pd.DataFrame, caption: str = "") -> None:
    """Write ``<stem>.csv`` and ``<stem>.md``, each atomically."""
    files.write_csv(f"{stem}.csv", frame, 4)
    files.write_text(f"{stem}.md", to_markdown(frame, caption))
