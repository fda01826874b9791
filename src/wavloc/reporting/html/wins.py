"""Which method wins where: the comparisons of all tables, in one figure and three sentences."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import pandas as pd

from wavloc.config import places
from wavloc.reporting.style import method_style

LEFT, RIGHT, ROW, TOP = 270, 760, 26, 8  # of the drawing, CSS pixels
WIDTH = 980
MOST = 24  # comparisons that are drawn
LEAST_CM = 0.05
CELL = ["dataset", "track", "setup"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Mean errors (cm) of methods on the same frames, and the best of those that compete.

    sure: whether the interval of the paired difference of the next best is above 0.
    """

    name: str
    dataset: str
    errors: Mapping[str, float]
    best: str
    sure: bool


def comparisons(frames: Iterable[pd.DataFrame], controls: Iterable[str]) -> list[Comparison]:
    """Cells of tables of errors: of each dataset, track and setup that with most microphones,
    and of equal ones that with most methods.
    """
    apart = set(controls)
    found: dict[tuple[Any, ...], tuple[tuple[float, int], Comparison]] = {}
    for frame in frames:
        if not {*CELL, "mics", "metric", "method", "value", "ci_low"} <= set(frame):
            continue
        for key, rows in frame.groupby([*CELL, "mics"], sort=False, dropna=False):
            *cell, mics = cast(tuple[Any, ...], key)
            dataset, track, setup = cell
            name = f"{dataset} {track}, {setup}, {mics:g} mics"
            made = _comparison(name, dataset, rows, apart)
            if made is None:
                continue
            size = mics, len(made.errors)
            if tuple(cell) not in found or size > found[tuple(cell)][0]:
                found[tuple(cell)] = size, made
    return [made for _, made in found.values()]


def _comparison(
    name: str, dataset: str, rows: pd.DataFrame, controls: set[str]
) -> Comparison | None:
    by_metric = {metric: part.set_index("method") for metric, part in rows.groupby("metric")}
    if "mae" not in by_metric:
        return None
    errors = by_metric["mae"]["value"].dropna()
    errors = errors[~errors.index.duplicated()]
    competing = errors[[method for method in errors.index if method not in controls]].sort_values()
    if len(competing) < 2:
        return None
    sure = False
    if "difference_to_best" in by_metric:
        low = by_metric["difference_to_best"]["ci_low"]
        sure = bool((low[~low.index.duplicated()].reindex([competing.index[1]]) > 0).all())
    by_name = {str(method): float(value) for method, value in errors.items()}
    return Comparison(name, dataset, by_name, str(competing.index[0]), sure)


def sentences(found: Sequence[Comparison], labels: Mapping[str, str]) -> list[str]:
    """Who wins how often and on which data, how surely, and where the best is best and worst."""
    ((first, most),) = collections.Counter(c.best for c in found).most_common(1)
    told = []
    for dataset in dict.fromkeys(c.dataset for c in found):
        wins = collections.Counter(c.best for c in found if c.dataset == dataset)
        others = [(labels.get(name, name), n) for name, n in wins.most_common() if name != first]
        rest = ", ".join(f"{label} in {number}" for label, number in others)
        told.append(f"{wins[first]} of {wins.total()} on {dataset}" + f" ({rest})" * bool(rest))
    sure = sum(c.sure for c in found)
    ranked = sorted(found, key=lambda c: c.errors[c.best])
    low, high = (
        f"{c.errors[c.best]:.1f} cm ({labels.get(c.best, c.best)}; {c.name})"
        for c in (ranked[0], ranked[-1])
    )
    reach = f"error is {low}" if len(found) == 1 else f"errors are from {low} to {high}"
    return [
        f"{labels.get(first, first)} has the lowest mean error in {most} of {len(found)} "
        f"comparisons: in {', in '.join(told)}.",
        f"The lead over the next method is beyond chance in {sure or 'none'} of them (the 95 % "
        "interval of the paired difference is above 0).",
        f"The lowest mean {reach}.",
    ]


def figure(frames: Iterable[pd.DataFrame], methods: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the macro ``wins`` draws; None without a comparison.

    frames: of tables whose cells share no frames; methods: of the configuration.
    """
    controls = [name for name, entry in methods.items() if entry.get("control")]
    found = comparisons(frames, controls)
    if not found:
        return None
    labels = {name: entry.get("label", name) for name, entry in methods.items()}
    place = places({name: {"order": 100, **entry} for name, entry in methods.items()})
    drawn = found[:MOST]
    best = [max(c.errors[c.best], LEAST_CM) for c in drawn]
    worst = [value for c in drawn for value in c.errors.values()]
    low, high = math.log10(min(best) / 1.3), math.log10(max(worst) * 1.3)

    def across(value: float) -> float:
        share = (math.log10(max(value, LEAST_CM)) - low) / (high - low)
        return round(LEFT + max(share, 0) * (RIGHT - LEFT), 1)  # the oracle is at the left end

    rows = [
        {
            "name": c.name,
            "y": TOP + ROW * number + ROW // 2,
            "best": f"{labels.get(c.best, c.best)}, {c.errors[c.best]:.1f} cm",
            "dots": [
                {
                    "x": across(value),
                    "label": labels.get(name, name),
                    "shown": f"{value:.1f} cm",
                    "colour": str(method_style(place.get(name, 0))["color"]),
                    "kind": "best" if name == c.best else "control" if name in controls else "dot",
                }
                for name, value in sorted(c.errors.items(), key=lambda item: item[0] == c.best)
            ],
        }
        for number, c in enumerate(drawn)
    ]
    steps = [s * 10.0**k for k in range(-2, 4) for s in (1, 2, 5)]
    bottom = TOP + ROW * len(drawn)
    return {
        "sentences": sentences(found, labels),
        "rows": rows,
        "ticks": [(across(s), f"{s:g}") for s in steps if low <= math.log10(s) <= high],
        **{"width": WIDTH, "height": bottom + 44, "top": TOP, "bottom": bottom},
        **{"left": LEFT, "right": RIGHT, "left_out": len(found) - len(drawn)},
    }
