"""The plan of a run: the cells, methods, models and files that a configuration asks for.

The workflow makes rules of it; commands look up in it the table, model or fault they are given by
name. No method is imported here; tracks and splits come from the classes of the datasets.

A cell is one dataset, track, setup and number of microphones: the conditions in which methods are
compared. An experiment is a table or a figure.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from wavloc import plugins
from wavloc.checks import one_of
from wavloc.datasets import fetch
from wavloc.datasets.base import Dataset, Split
from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS
from wavloc.methods import registry
from wavloc.reporting import figures
from wavloc.simulation import faults, mixtures

Spec = Mapping[str, Any]
T = TypeVar("T")


class Cell(NamedTuple):
    """Conditions in which methods are compared."""

    dataset: str
    track: str
    setup: str
    mics: int

    @property
    def path(self) -> str:
        """Its folder below predictions and metrics."""
        return f"{self.dataset}/{self.track}/{self.setup}-{self.mics}"


class Model(NamedTuple):
    """A training: on the training tracks of a split; mics None = any number of microphones."""

    dataset: str
    split: str
    method: str
    mics: int | None = None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.method if self.mics is None else f"{self.method}-{self.mics}"


def kind_of(spec: Spec) -> str:
    """The evaluation whose metrics a table or figure shows."""
    if spec.get("kind") == "roc":
        return "detection"
    metric = spec.get("metric") or next(iter(spec.get("metrics", [])), None)
    if metric is None:
        return "errors"
    kind = METRICS[metric].kind
    by_condition = "by" in spec or spec.get("kind") == "sweep"
    return "conditions" if kind == "errors" and by_condition else kind


def answer(cell: Cell, method: str) -> str:
    """Name of what a method predicts in a cell."""
    return f"{cell.path}/{method}"


def unique(items: Iterable[T]) -> list[T]:
    """The items in their order, each once."""
    return list(dict.fromkeys(items))


class Plan:
    """Everything that follows from a resolved configuration; `results` is the folder of a run."""

    def __init__(self, config: Mapping[str, Any], results: str | None = None):
        self.config = config
        self.results = results or config["pathvars"]["results"]
        self.seed: int = config["seed"]
        self.methods = registry.entries(config)
        self.experiments: dict[str, Spec] = config["tables"] | config["figures"]
        self._datasets: dict[str, Dataset] = {}
        # With `models: kept`, what is neither kept nor trained here; a run writes it to its plan.
        self.left_out: frozenset[str] = frozenset(config.get("left_out", ()))
        # Those that a whole run makes; the others only where they are asked for by name.
        self.whole = {
            name: spec
            for name, spec in self.experiments.items()
            if not spec.get("apart") and (not self.left_out or self.shown_cells(name))
        }
        self.tables = {n: spec for n, spec in config["tables"].items() if n in self.whole}
        self.figures = {n: spec for n, spec in config["figures"].items() if n in self.whole}

    # ----------------------------------------------------------------- methods and cells

    @functools.cached_property
    def sets(self) -> dict[str, list[str]]:
        """Methods of each set; `all` also has those that no set names."""
        sets = {name: list(members) for name, members in self.config["sets"].items()}
        held = set(itertools.chain.from_iterable(sets.values()))
        free = [name for name in self.methods if self.methods[name].localizes and name not in held]
        sets["all"] = [*sets.get("all", []), *free]
        for name in sets:
            if name in self.methods:
                raise InputError(f"config, sets.{name}: there is a method of that name")
        return {name: self._members([name], sets, f"sets.{name}") for name in sets}

    def _members(
        self, names: Sequence[str], sets: Mapping[str, Sequence[str]], where: str, depth: int = 0
    ) -> list[str]:
        chosen: set[str] = set()
        for name in names:
            if name in sets and depth <= len(sets):
                chosen |= set(self._members(sets[name], sets, where, depth + 1))
            elif name in sets:
                raise InputError(f"config, {where}: the set '{name}' holds itself")
            else:
                known = [*sets, *self.methods]
                chosen.add(one_of(name, known, f"config, {where}: unknown method"))
        return [name for name in self.methods if name in chosen]

    @functools.cached_property
    def _rows(self) -> dict[str, list[str]]:
        rows = {}
        for name, spec in self.experiments.items():
            chosen = spec.get("methods", "all")
            chosen = [chosen] if isinstance(chosen, str) else chosen
            rows[name] = self._members(chosen, self.sets, f"{name}.methods")
            for method in rows[name]:
                if not self.methods[method].localizes:
                    raise InputError(f"config, {name}.methods: '{method}' gives no positions")
            if spec.get("layout") == "ranks":
                rows[name] = [method for method in rows[name] if not self.methods[method].control]
        return rows

    def methods_of(self, experiment: str) -> list[str]:
        """Methods of a table or figure, in the order of the rows."""
        return self._rows[experiment]

    @functools.cached_property
    def _cells(self) -> dict[str, list[Cell]]:
        cells: dict[str, list[Cell]] = {}
        ranks = {n: s for n, s in self.experiments.items() if s.get("layout") == "ranks"}
        for name, spec in self.experiments.items():
            if name not in ranks:
                setups, mics = spec.get("setups", [spec.get("setup")]), spec["mics"]
                mics = mics if isinstance(mics, list) else [mics]
                product = itertools.product([self.role(spec)], self.tracks_of(spec), setups, mics)
                cells[name] = [Cell(*values) for values in product]
        for name, spec in ranks.items():
            cells[name] = unique(cell for table in spec["tables"] for cell in cells[table])
        return {name: cells[name] for name in self.experiments}

    def cells_of(self, experiment: str) -> list[Cell]:
        """Cells of a table or figure; a ranking has those of its tables."""
        return self._cells[experiment]

    def role(self, spec: Spec) -> str:
        """Dataset that plays the role of a table or figure; a dataset's own name does as well."""
        name = self.config["roles"].get(spec["dataset"], spec["dataset"])
        return one_of(name, sorted(self.config["datasets"]), "config: unknown dataset")

    def tracks_of(self, spec: Spec) -> list[str]:
        """Tracks of a table or figure: with faults each at every level of each fault, with numbers
        of sources each with as many at once.

        Level 0, the track itself, has no faulty microphone to be detected.
        """
        if "sources" in spec:
            pairs = itertools.product(spec["tracks"], spec["sources"])
            return [faults.named(track, mixtures.KIND, count) for track, count in pairs]
        if "faults" not in spec:
            return spec["tracks"]
        known = self.config["faults"]
        for fault in spec["faults"]:
            one_of(fault, known, "config: unknown fault")
        return unique(
            faults.named(track, fault, level)
            for track in spec["tracks"]
            for fault in spec["faults"]
            for level in known[fault]["levels"]
            if level > 0 or kind_of(spec) != "detection"
        )

    @functools.cached_property
    def cells(self) -> dict[Cell, list[str]]:
        """Cell -> methods that are run on it, in the order of the rows."""
        run: dict[Cell, set[str]] = {}
        for name in self.whole:
            for cell in self.cells_of(name):
                chosen = [m for m in self.methods_of(name) if self.answers(cell, m)]
                run.setdefault(cell, set()).update(chosen)
        rows = {cell: [m for m in self.methods if m in used] for cell, used in run.items()}
        return {cell: methods for cell, methods in rows.items() if methods}

    @functools.cached_property
    def _groups(self) -> dict[tuple[Cell, tuple[str, ...]], str]:
        """Experiments whose methods are evaluated together in a cell -> the first of them.

        Each needs its own methods only; experiments with the same methods share their metrics.
        """
        groups: dict[tuple[Cell, tuple[str, ...]], str] = {}
        for name in self.experiments:
            for cell in self.cells_of(name):
                groups.setdefault((cell, tuple(self.methods_of(name))), name)
        return groups

    def treats(self, dataset: str, method: str) -> bool:
        """Whether a method can treat a dataset; most need sound."""
        return self.methods[method].from_delays or not self.dataset(dataset).delays

    def answers(self, cell: Cell, method: str) -> bool:
        """Whether a method has predictions in a cell: it can treat it and is not left out there."""
        return not self.leaves_out(cell, method) and self.treats(cell.dataset, method)

    def leaves_out(self, cell: Cell, method: str) -> bool:
        """Whether a method would want a training first, which this run does not do."""
        return answer(cell, method) in self.left_out

    # ----------------------------------------------------------------- data

    def dataset(self, name: str) -> Dataset:
        """A dataset with its options."""
        if name not in self._datasets:
            entry = self.config["datasets"][name]
            plugin = plugins.plugin_class("datasets", entry["module"])
            self._datasets[name] = plugin(entry["options"], name, self.seed)
        return self._datasets[name]

    def split(self, dataset: str, track: str) -> tuple[str, Split]:
        """The split that keeps a track, with or without a fault, for testing."""
        named = self.dataset(dataset)
        split = named.split_of(faults.parted(track)[0])
        return split, named.splits()[split]

    def partners(self, dataset: str, track: str) -> list[str]:
        """Frames whose sources sound beside those of a track: all that are tested with it."""
        return [self.frames(dataset, name) for name in self.split(dataset, track)[1].test]

    @functools.cached_property
    def tracks(self) -> list[tuple[str, str]]:
        """Dataset and track of all frames: those of the cells, and what models are trained on."""
        cells = itertools.chain.from_iterable(self._cells.values())
        shown = [cell[:2] for cell in cells]
        specs = [spec for spec in self.experiments.values() if "reference" in spec]
        clean = [(self.role(spec), spec["reference"]) for spec in specs]
        splits = [
            (m.dataset, self.dataset(m.dataset).splits()[m.split]) for m in self.models.values()
        ]
        learned = [
            (name, track)
            for name, split in splits
            for track in (*split.train, *split.valid)
            if self.config["models"] == "all"
        ]
        return unique([*shown, *clean, *learned])

    @functools.cached_property
    def downloads(self) -> dict[str, Spec]:
        """What is published elsewhere; a key such as luvira_root says where it is here."""
        roots = {name: self.config.get(f"{name}_root") for name in self.config["downloads"]}
        return {
            name: entry | ({"root": roots[name]} if roots[name] else {})
            for name, entry in self.config["downloads"].items()
        }

    def fetched(self, name: str) -> list[str]:
        """Manifest of a download that has to be made first; none where the data are here."""
        if name not in self.downloads or not fetch.is_fetched(name, self.downloads[name]):
            return []
        return [f"{self.config['cache']}/{name}/manifest.json"]

    def sounds_of(self, dataset: str) -> dict[str, str]:
        """Kind of dry sound that a dataset needs -> its corpus folder."""
        kinds = self.dataset(dataset).sounds
        return {kind: f"{self.results}/data/corpus/{kind}" for kind in kinds}

    # ----------------------------------------------------------------- models

    def model_of(self, cell: Cell, method: str) -> Model | None:
        """The model that answers in a cell; None for a method that learns nothing.

        It was trained on the split that keeps the cell's track for testing. A method that is bound
        to its number of microphones has a model for each.
        """
        entry = self.methods[method]
        if not entry.learned or not self.answers(cell, method):
            return None
        one_of(entry.trained_as, self.methods, f"config, methods.{method}.model: unknown method")
        mics = None if entry.variable_mics else cell.mics
        return Model(cell.dataset, self.split(*cell[:2])[0], entry.trained_as, mics)

    def model_named(self, dataset: str, split: str, name: str) -> Model:
        """The model of a folder such as ``dinn-7``."""
        method, dash, mics = name.rpartition("-")
        if dash and method in self.methods:
            return Model(dataset, split, method, int(mics))
        return Model(dataset, split, name)

    @functools.cached_property
    def models(self) -> dict[str, Model]:
        """Folder -> model, of all that answer in a cell."""
        models = [self.model_of(cell, m) for cell, chosen in self.cells.items() for m in chosen]
        return {self.folder(model): model for model in models if model}

    def models_of(self, cell: Cell, methods: Iterable[str]) -> dict[str, str]:
        """Method -> folder of the model that answers in a cell, of the learned ones."""
        models = {method: self.model_of(cell, method) for method in methods}
        return {method: self.folder(model) for method, model in models.items() if model}

    def entry(self, method: str, dataset: str) -> registry.Entry:
        """A method with the options that a dataset states for its training there."""
        return self.methods[method].changed({"options": self.own_options(method, dataset)})

    def own_options(self, method: str, dataset: str) -> Mapping[str, Any]:
        """What a dataset states of the options of a method that is trained on it."""
        own: Mapping[str, Any] = self.config["datasets"][dataset]["training"].get(method, {})
        return own

    def training(self, model: Model, role: str) -> list[str]:
        """Frames that a model is trained on (``train``) or validated with (``valid``)."""
        split = self.dataset(model.dataset).splits()[model.split]
        return [self.frames(model.dataset, track) for track in getattr(split, role)]

    def imported(self, model: Model) -> list[str]:
        """The authors' file that a model is made of instead of being trained, if it is."""
        return [self.config["authors_weights"]] if self.methods[model.method].imported else []

    def pretrained(self, model: Model) -> list[str]:
        """Folder of the model that is handed to a training, if one is."""
        entry = self.methods[model.method]
        if entry.start or not entry.pretrained:
            return []
        return [self.folder(model._replace(method=entry.pretrained, mics=None))]

    def start(self, model: Model) -> list[str]:
        """Folder of the model at whose weights a training begins, if it does."""
        start = self.methods[model.method].start
        return [start] if start else []

    # ----------------------------------------------------------------- paths

    def frames(self, dataset: str, track: str) -> str:
        """Folder of the frames of a track."""
        return f"{self.results}/data/{dataset}/{track}"

    def frames_of(self, dataset: str) -> dict[str, str]:
        """Track -> folder of all frames of a dataset, before faults and further sources."""
        tracks = [faults.parted(track)[0] for name, track in self.tracks if name == dataset]
        return {track: self.frames(dataset, track) for track in unique(tracks)}

    def subset(self, cell: Cell) -> str:
        """File of the microphones that are known in each frame of a cell."""
        return f"{self.results}/data/subsets/{cell.dataset}/{cell.track}-{cell.mics}.npy"

    def folder(self, model: Model) -> str:
        """Folder of a model."""
        return f"{self.results}/models/{model.dataset}/{model.split}/{model.name}"

    def prediction(self, cell: Cell, method: str) -> str:
        """File of a method's predictions in a cell."""
        return f"{self.results}/predictions/{answer(cell, method)}.parquet"

    def predictions(self, cell: Cell, experiment: str | None = None) -> list[str]:
        """Predictions in a cell, by all methods or by those of a table or figure."""
        methods = self.cells[cell] if experiment is None else self.methods_of(experiment)
        return [self.prediction(cell, m) for m in methods if self.answers(cell, m)]

    def metrics(self, experiment: str) -> list[str]:
        """Metrics files of a table or of a curve."""
        spec = self.experiments[experiment]
        kind = kind_of(spec)
        if kind == "ranks":
            return [f"{self.results}/metrics/{experiment}.csv"]
        if kind == "counts":
            return [f"{self.results}/metrics/{self.role(spec)}/{experiment}.csv"]
        methods, suffix = tuple(self.methods_of(experiment)), "" if kind == "errors" else f"-{kind}"
        return [
            f"{self.results}/metrics/{cell.path}/{self._groups[cell, methods]}{suffix}.csv"
            for cell in self.shown_cells(experiment)
        ]

    def shown_cells(self, experiment: str) -> list[Cell]:
        """Cells of a table or figure in which one of its methods answers."""
        methods, cells = self.methods_of(experiment), self.cells_of(experiment)
        return [c for c in cells if not methods or any(self.answers(c, m) for m in methods)]

    def properties(self, table: str) -> list[str]:
        """File of measured properties, for tables that show them."""
        tracks = table in self.tables and self.tables[table]["layout"] == "tracks"
        if not tracks or self.config["models"] == "kept":  # they are measured with the weights
            return []
        return [f"{self.results}/metrics/{self.cells_of(table)[0].path}/properties.json"]

    def outputs(self, experiment: str) -> list[str]:
        """Files of a table or figure."""
        if experiment in self.config["tables"]:
            return [f"{self.results}/tables/{experiment}.{kind}" for kind in ("csv", "md", "tex")]
        return [f"{self.results}/figures/{experiment}.{kind}" for kind in ("png", "pdf")]

    # ----------------------------------------------------------------- what experiments need

    @functools.cached_property
    def judged(self) -> list[str]:
        """Tables that are compared with the paper's; times are those of another machine."""
        specs = self.tables.items()
        return [self.outputs(name)[0] for name, spec in specs if spec["layout"] != "costs"]

    @functools.cached_property
    def table_files(self) -> list[str]:
        """Everything in the folder of tables."""
        files = [path for name in self.tables for path in self.outputs(name)]
        over_all = ("reproduction.csv", "reproduction.md", "summary.json")
        return [*files, *(f"{self.results}/tables/{name}" for name in over_all)]

    @functools.cached_property
    def figure_files(self) -> list[str]:
        """Everything in the folder of figures."""
        files = [path for name in self.figures for path in self.outputs(name)]
        return [*files, *([self.single_frames_page] if self.single_frames else [])]

    @property
    def single_frames_page(self) -> str:
        """The page of single frames."""
        return f"{self.results}/figures/single_frames.html"

    @functools.cached_property
    def single_frames(self) -> Cell | None:
        """Cell of the page of single frames; None where the run has no such cell or method."""
        spec = self.config.get("single_frames")
        if not spec or spec["table"] not in self.tables:
            return None
        cells = [cell for cell in self.cells_of(spec["table"]) if cell.track == spec["track"]]
        known = cells and spec["method"] in self.methods_of(spec["table"])
        return cells[0] if known and self.answers(cells[0], spec["method"]) else None

    @functools.cached_property
    def metric_files(self) -> list[str]:
        """All metrics of tables and curves."""
        files = [self.metrics(name) for name in self.tables]
        files += [self.curve_metrics(name) for name in self.figures]
        files += [self.properties(name) for name in self.tables]
        return unique(itertools.chain.from_iterable(files))

    @functools.cached_property
    def viewed(self) -> list[Cell]:
        """Cells of which the report reads positions: tracks that it shows in 3-D, and those where
        it counts how often learned methods beat classical ones.
        """
        figures, tables = self.figures.items(), self.tables.items()
        read = [name for name, spec in figures if spec["kind"] == "trajectory"]
        read += [name for name, spec in tables if spec["layout"] == "tracks"]
        cells = unique(cell for name in read for cell in self.cells_of(name))
        return [cell for cell in cells if cell in self.cells]

    @functools.cached_property
    def denoised(self) -> dict[Cell, tuple[list[str], str]]:
        """Cell -> methods whose predictions hold reconstructed signals, and the clean frames."""
        return {
            cell: (self.methods_of(name), self.frames(cell.dataset, spec["reference"]))
            for name, spec in self.figures.items()
            if kind_of(spec) == "denoising"
            for cell in self.cells_of(name)
        }

    def keeps_audio(self, cell: Cell, method: str) -> bool:
        """Whether predictions hold reconstructed signals."""
        return cell in self.denoised and method in self.denoised[cell][0]

    @functools.cached_property
    def measured(self) -> dict[Cell, list[str]]:
        """First cell of each table that shows properties -> methods whose are measured there."""
        measured: dict[Cell, list[str]] = {}
        for name, spec in self.tables.items():
            if spec["layout"] == "tracks":
                cell = self.cells_of(name)[0]
                answering = [m for m in self.methods_of(name) if self.answers(cell, m)]
                measured[cell] = unique([*measured.get(cell, []), *answering])
        return measured

    def conditions(self, cell: Cell, experiment: str, kind: str) -> list[str]:
        """Columns of the frames whose values are conditions, of all that share these metrics."""
        columns: list[str] = []
        if kind not in ("conditions", "delays", "denoising"):
            return columns
        for name, spec in self.experiments.items():
            same = self.methods_of(name) == self.methods_of(experiment)
            if same and cell in self.cells_of(name):
                columns += spec.get("by", [spec["x"]] if spec.get("kind") == "sweep" else [])
        return unique(columns)

    def ranked(self, table: str) -> dict[str, str]:
        """``dataset/track/method`` -> predictions of all that a ranking compares.

        Of a method that is left out somewhere there is no rank.
        """
        cells = self.cells_of(table)
        ranked = [
            method
            for method in self.methods_of(table)
            if not any(self.leaves_out(cell, method) for cell in cells)
        ]
        return {
            f"{cell.dataset}/{cell.track}/{method}": self.prediction(cell, method)
            for cell in cells
            for method in ranked
            if method in self.cells[cell]
        }

    def table_models(self, table: str) -> list[tuple[str, str]]:
        """Method and folder of each model that answers in a table, row by row."""
        rows, cells = self.methods_of(table), self.cells_of(table)
        return unique(
            pair for row in rows for cell in cells for pair in self.models_of(cell, [row]).items()
        )

    def figure_cells(self, figure: str) -> list[Cell]:
        """Cells whose frames and predictions a figure shows; curves are drawn from metrics."""
        kind = self.config["figures"][figure]["kind"]
        return self.cells_of(figure) if "frames" in figures.KINDS[kind] else []

    def curve_metrics(self, figure: str) -> list[str]:
        """Metrics that a curve is drawn from."""
        kind = self.config["figures"][figure]["kind"]
        return self.metrics(figure) if "metrics" in figures.KINDS[kind] else []

    def figure_predictions(self, figure: str) -> dict[str, str]:
        """``track/method`` -> predictions that a figure shows."""
        return {
            f"{cell.track}/{method}": self.prediction(cell, method)
            for cell in self.figure_cells(figure)
            for method in self.methods_of(figure)
            if self.answers(cell, method)
        }
