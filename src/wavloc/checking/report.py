"""What `check` found, as text for a screen of 80 columns."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from wavloc.checking import Checked

HEAD = "channel       level  floor   dc %  clip %   hum  pol   fits   offset   drift"
UNITS = "                 dB     dB                  Hz           %       ms     ppm"


def as_text(checked: Checked) -> str:
    """A row for each channel, then a line (wrapped) for each finding."""
    lines = [HEAD, UNITS, *(_row(row) for _, row in checked.table.iterrows()), ""]
    for finding in checked.findings:
        lines += textwrap.wrap(finding.text, 79, initial_indent="! ", subsequent_indent="  ")
    return "\n".join([*lines, counted(checked)])


def counted(checked: Checked) -> str:
    """How many findings there are, in words."""
    number = len(checked.findings)
    return f"{number or 'no'} finding{'s' * (number != 1)}"


def _row(row: pd.Series) -> str:
    name = row["name"] if len(row["name"]) <= 12 else row["name"][:11] + "…"
    sign = "-" if row["polarity"] < 0 else "+"
    return (
        f"{name:12s} {row['level_db']:6.1f} {row['floor_db']:6.1f} {100 * row['dc']:6.2f} "
        f"{100 * row['clipped']:7.3f} {_shown(row['hum_hz'], 5, 0)} {sign:>4s} "
        f"{_shown(100 * row['in_step'], 6, 0)} {_shown(row['offset_ms'], 8, 1)} "
        f"{_shown(row['drift_ppm'], 7, 0)}"
    )


def _shown(value: float, width: int, digits: int) -> str:
    return f"{value:{width}.{digits}f}" if np.isfinite(value) else f"{'-':>{width}s}"
