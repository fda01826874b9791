"""What the cards of methods and datasets state: their entries, and what was measured.

hooks.py puts them on methods.md and datasets.md. What was measured is read from files that a run
and a benchmark wrote, never typed; to have both anew:

    wavloc publish --config results/plan.json --out results/published/default
    python benchmarks/inference.py --mics 5 11 16 --no-memory \\
        --json results/published/inference.json
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import config as configuration
from wavloc.datasets.base import Dataset, Split
from wavloc.errors import InputError
from wavloc.methods import registry
from wavloc.methods.registry import Entry
from wavloc.plan import Plan

ROOT = Path(__file__).parents[1]
COSTS = ROOT / "results/published/inference.json"
RUN = ROOT / "results/published/default"  # its tables as csv and md, its figures as png
SHOWN = {  # of the default run, in setup 1a with all microphones: table, track -> name in the card
    ("table1", "music3"): "music3",
    ("table1", "speech3"): "speech3",
    ("table_simulated", "test"): "six faces",
}
WORST = {
    ("table_conditions", "T60 0.4 s"): "six faces at T60 0.4 s",
    ("table_conditions", "SNR 0 dB"): "six faces at SNR 0 dB",
}
HEAD = "| | |\n|---|---|"
# Page -> what its cards go below: a heading, or one and the head of a table that they become a part
# of. The first group is the name of the method or dataset.
PLACES = {
    "methods.md": re.compile(r"^### `(\w+)`$", re.MULTILINE),
    "datasets.md": re.compile(rf"^## (\w+): .*\n\n{re.escape(HEAD)}$", re.MULTILINE),
}
# Variants that these sets of methods name are rows of one table and have no card.
APART = ("ablation", "fault_variants", "seeds", "in_no_table")
Rows = list[tuple[str, str]]


def filled(text: str, page: str) -> str:
    """A page with its cards; `InputError` if one has no place there, or a place has no card."""
    if page not in PLACES:
        return text
    measured = Measured()
    made = of_methods(measured) if page == "methods.md" else of_datasets(measured)
    if odd := {*PLACES[page].findall(text)} ^ made.keys():
        raise InputError(
            f"docs/{page}: {', '.join(sorted(odd))}: expected one heading for each entry"
        )

    def card(match: re.Match[str]) -> str:
        begun = match[0] if match[0].endswith(HEAD) else f"{match[0]}\n\n{HEAD}"
        return f"{begun}\n{made[match[1]]}"

    text = PLACES[page].sub(card, text)
    return text.replace("<!-- measured -->", measured.sources())


class Measured:
    """The files of the run and of the benchmark."""

    def __init__(self, run: Path = RUN, costs: Path = COSTS):
        self.run = json.loads((run / "provenance.json").read_text("utf-8"))
        self.benchmark = json.loads(costs.read_text("utf-8"))
        self.costs = pd.DataFrame(self.benchmark["rows"])
        names = {name for name, _ in [*SHOWN, *WORST]} | {"table6", "table7"}
        self.cells = pd.concat(pd.read_csv(run / f"tables/{name}.csv") for name in sorted(names))
        self.published = pd.read_csv(ROOT / "config/paper_values.csv").set_index("method")

    def sources(self) -> str:
        """Where the numbers of all cards are from."""
        return (
            "Times of a frame are CPU time of one thread at the published sizes, on white noise "
            "without echoes (`benchmarks/inference.py`, "
            f"{self._made(self.benchmark['provenance'])}). Trainings and errors are those of the "
            "default run with its reduced networks "
            f"({self._made(self.run)}), setup 1a, all microphones, ± half of the 95 % interval. "
            "Both are kept in `results/published`."
        )

    @staticmethod
    def _made(stamp: Mapping[str, Any]) -> str:
        return f"revision {stamp['git']}, {stamp['device']}"

    def cost(self, entry: Entry) -> str:
        """Milliseconds for each number of microphones."""
        known = set(self.costs["method"])
        name = entry.name if entry.name in known else entry.like
        rows = self.costs[(self.costs["method"] == name) & (self.costs["over"] == "microphones")]
        times = rows[rows["metric"] == "ms per frame"].set_index("size")["median"]
        if times.empty:
            return "not measured"
        counts = ", ".join(str(int(size)) for size in times.index)
        as_other = "" if name == entry.name else f"as `{name}`: "
        shown = ", ".join(f"{_short(ms)} ms" for ms in times)
        return f"{as_other}{shown} with {counts} microphones"

    def training(self, entry: Entry) -> str:
        """Hours of its model in the default run, and those that its paper states."""
        models = self.run["models"]
        hours = self.published[self.published["metric"] == "train_hours"]["paper_value"]
        found = [path for path in models if re.search(rf"/{entry.trained_as}(-11)?$", path)]
        parts = [] if found else ["not in the default run"]
        for path in sorted(found)[:1]:
            told, dataset = models[path], path.partition("/")[0]
            minutes = told["cost"]["seconds"] / 60
            parts.append(f"{_short(minutes)} min for {told['epochs']} epochs on {dataset}")
        parts += [
            f"published: {hours[name]} h on an A100" for name in {entry.name} & {*hours.index}
        ]
        if entry.pretrained:
            parts.append(f"after `{entry.pretrained}`")
        return "; ".join(parts)

    def errors(self, name: str, places: Mapping[tuple[str, str], str]) -> str:
        """MAE where it is shown."""
        parts = []
        for (table, track), shown in places.items():
            rows = self.cells[(self.cells["table"] == table) & (self.cells["track"] == track)]
            rows = rows[(rows["method"] == name) & (rows["metric"] == "mae")].dropna(subset="value")
            for row in rows.itertuples():
                half = (row.ci_high - row.ci_low) / 2
                share = _short(100 * row.failure_rate)
                failed = f" (no position in {share} % of the frames)" * (row.failure_rate > 0)
                parts.append(f"{shown} {row.value:.1f} ± {half:.1f} cm{failed}")
        return "; ".join(parts)

    def frames(self, dataset: str) -> str:
        """Frames of the tracks that the default run scores."""
        rows = self.cells[self.cells["dataset"] == dataset]
        rows = rows[rows["table"].isin(["table6", "table7"])]
        counts = rows.groupby("track", sort=False)["n_frames"].max()
        return ", ".join(f"{track} {count:,}" for track, count in counts.items())


def of_methods(measured: Measured) -> dict[str, str]:
    """Card of every method that locates."""
    entries = registry.shipped()
    apart = {name for key in APART for name in configuration.resolve({})["sets"][key]}
    variants = {name: entry.like for name, entry in entries.items() if entry.like and name in apart}
    made = {}
    for name, entry in entries.items():
        if entry.localizes and name not in variants:
            rows = _method(entry, measured)
            rows += [("variants", ", ".join(f"`{v}`" for v in variants if variants[v] == name))]
            made[name] = table(rows)
    return made


def _method(entry: Entry, measured: Measured) -> Rows:
    weights = ROOT / f"src/wavloc/methods/learned/weights/{entry.module}.json"
    learns = "trained on a dataset" if entry.learned else "nothing"
    counts = "any number" if entry.variable_mics else "one model for each number"
    order = "makes no difference" if entry.permutation_invariant else "may make a difference"
    return [
        ("in tables", entry.label),
        ("reference", entry.reference),
        ("a variant of", f"`{entry.like}`" if entry.like else ""),
        ("learns", "weights in the package" if weights.is_file() else learns),
        ("given", entry.input_types),
        ("microphones", f"{counts}; their order {order}"),
        ("from delays alone", "yes" if entry.from_delays else "no"),
        ("time of a frame", measured.cost(entry)),
        ("training", measured.training(entry) if entry.learned else ""),
        ("MAE", measured.errors(entry.name, SHOWN)),
        ("MAE where it is hard", measured.errors(entry.name, WORST)),
    ]


def of_datasets(measured: Measured) -> dict[str, str]:
    """Card of every dataset, with what the default run makes of it."""
    loaded = configuration.load(ROOT / "config/config.yaml")
    plan = Plan(loaded)
    made = {}
    for name, entry in loaded["datasets"].items():
        dataset = plan.dataset(name)
        roles = [f"`{role}`" for role, played in loaded["roles"].items() if played == name]
        download = entry.get("download", {})
        rows = [
            ("in tables", entry["label"]),
            ("part in the default run", ", ".join(roles)),
            ("tracks", _series(dataset.tracks())),
            ("splits", "; ".join(_split(*split) for split in dataset.splits().items())),
            ("frames in the default run", measured.frames(name)),
            ("archives", ", ".join(f"`{archive}`" for archive in download.get("archives", ()))),
            ("options", _options(dataset)),
        ]
        made[name] = table(rows)
    return made


def _split(name: str, split: Split) -> str:
    few = _series(split.train).count(",") < 2
    train = (_series(split.train) or "nothing") if few else f"{len(split.train)} tracks"
    valid = f", validate on {_series(split.valid)}" if split.valid else ""
    return f"`{name}`: train on {train}{valid}, test on {_series(split.test)}"


def _series(names: Iterable[str]) -> str:
    """Names, with runs such as ``grid101 to grid176`` shortened."""
    parts: list[list[str]] = []
    for name in names:
        number = re.fullmatch(r"\D*(\d*)(?:_sim)?", name)[1]
        last = parts[-1][-1] if parts else ""
        if number and last == name.replace(number, str(int(number) - 1)):
            parts[-1].append(name)
        else:
            parts.append([name])
    shown = [part if len(part) < 3 else [f"{part[0]} to {part[-1]}"] for part in parts]
    return ", ".join(name for part in shown for name in part)


def _options(dataset: Dataset) -> str:
    """Options with their defaults, and what the default run takes instead."""
    parts = []
    for field in dataclasses.fields(dataset.options):
        usual = (
            field.default if field.default is not dataclasses.MISSING else field.default_factory()
        )
        taken = getattr(dataset.options, field.name)
        changed = f" ({_plain(taken)} in the default run)" if taken != usual else ""
        parts.append(f"`{field.name}` {_plain(usual)}{changed}")
    return ", ".join(parts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def table(rows: Rows) -> str:
    """Rows that say something, as Markdown, without a head."""
    shown = [(name, text.replace("|", r"\|")) for name, text in rows if text]
    return "\n".join(f"| {name} | {text} |" for name, text in shown)
