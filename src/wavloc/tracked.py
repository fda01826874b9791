"""What a long run has predicted, kept under version control: small files, each with a digest.

A folder of the checkout (`tracked` of the configuration) mirrors the results of a run without its
weights: predictions of learned methods, notes and histories of their models, and what else is
measured with the models. Each file has a digest of all that decides it: the method's own code, its
options, its data, and the same of the model that it was predicted with. While the digest is the
same, the workflow takes the file as it is, and nothing is trained for it.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import files, jobs, plugins, provenance
from wavloc.frames import Frames
from wavloc.methods import predictions
from wavloc.methods.predictions import Predictions
from wavloc.plan import Cell, Model, Plan, answer, kind_of, unique
from wavloc.reporting.publish import DIGESTS, KEPT
from wavloc.reporting.tables import NOT_COMPUTED

METHODS = ("wavloc.methods.learned", "wavloc.methods.classical", "wavloc.features")
DATA = ("wavloc.datasets", "wavloc.simulation")
DENOISING = "-denoising.csv"
ELSEWHERE = ("cache", "root", "data")  # where something lies on this machine
OTHER_FRAMES = f"{NOT_COMPUTED}: what is kept is of other frames (other speech on this processor)"


class Tracked:
    """The tracked files of a plan; without a folder there are none."""

    def __init__(self, plan: Plan, folder: str | Path | None = None):
        self.plan = plan
        self.folder = Path(folder or plan.config["tracked"] or "nowhere")
        path = self.folder / DIGESTS
        self.digests: dict[str, str] = files.read_mapping(path) if path.is_file() else {}

    # ----------------------------------------------------------------- what is valid

    def kept(self, cell: Cell, method: str) -> list[str]:
        """The tracked predictions of a learned method in a cell, if they are still valid."""
        if not self.digests or self.plan.model_of(cell, method) is None:
            return []
        return self._valid(self.plan.prediction(cell, method), self.of_prediction(cell, method))

    def _kept_measure(self, cell: Cell, path: str) -> list[str]:
        return self._valid(path, self.of_measure(cell, path)) if self.digests else []

    # What is taken instead of being made: not where this machine has trained the model, whose
    # weights and signals are worth more.

    def prediction(self, cell: Cell, method: str) -> list[str]:
        """The tracked predictions that stand for those of a learned method in a cell."""
        model = self.plan.model_of(cell, method)
        if model is None or self._trained_here(model):
            return []
        if self.plan.keeps_audio(cell, method):  # others need the signals
            signals = [path for path, c in self.measurements.items() if c == cell]
            signals = [path for path in signals if path.endswith(DENOISING)]
            if not all(self._kept_measure(cell, path) for path in signals):
                return []
        return self.kept(cell, method)

    def measured(self, cell: Cell, path: str) -> list[str]:
        """The tracked file that stands for what is measured with the models of a cell."""
        models = [self.plan.model_of(cell, m) for m in self._measured_with(cell, path)]
        here = any(model and self._trained_here(model) for model in models)
        return [] if here else self._kept_measure(cell, path)

    def model(self, model: Model) -> list[str]:
        """The tracked notes that stand for a model, where nothing asks for its weights any more."""
        if not self.digests or model in self._weights_wanted or self._trained_here(model):
            return []
        return self._valid(self.plan.folder(model), self.of_model(model))

    def _trained_here(self, model: Model) -> bool:
        results = self.plan.config["pathvars"]["results"]
        name = self.name(self.plan.folder(model))
        return Path(results, name, "weights.safetensors").is_file()

    def _valid(self, path: str, digest: str) -> list[str]:
        name = self.name(path)
        there = self.digests.get(name) == digest and (self.folder / name).exists()
        return [str(self.folder / name)] if there else []

    def name(self, path: str) -> str:
        """A path of the results as it is named in the folder."""
        return str(Path(path).relative_to(self.plan.results))

    @functools.cached_property
    def _weights_wanted(self) -> set[Model]:
        """Models that something untracked is predicted, measured or trained with."""
        plan, wanted = self.plan, set()
        for cell, methods in plan.cells.items():
            models = {method: plan.model_of(cell, method) for method in methods}
            wanted |= {m for n, m in models.items() if m and not self.prediction(cell, n)}
        for path, cell in self.measurements.items():
            if not self.measured(cell, path):
                wanted |= {m for n in plan.measured.get(cell, ()) if (m := plan.model_of(cell, n))}
        grown = True
        while grown:  # an untracked model may begin with another one
            begun = {plan.model_named(m.dataset, m.split, name) for m, name in _begun(plan, wanted)}
            grown = not begun <= wanted
            wanted |= begun
        return wanted

    @functools.cached_property
    def measurements(self) -> dict[str, Cell]:
        """Files that are measured with models or their signals -> cell."""
        plan = self.plan
        found = {
            path: plan.cells_of(table)[0]
            for table in plan.config["tables"]
            for path in plan.properties(table)
        }
        for figure, spec in plan.figures.items():
            if kind_of(spec) == "denoising":
                found |= zip(plan.metrics(figure), plan.shown_cells(figure), strict=True)
        return found

    def missing(self) -> list[str]:
        """Answers that want a training first, also in tables that only their name asks for."""
        plan = self.plan
        asked = unique(
            (cell, method)
            for name in plan.experiments
            for cell in plan.cells_of(name)
            for method in plan.methods_of(name)
        )
        return [
            answer(cell, method)
            for cell, method in asked
            if (model := plan.model_of(cell, method))
            and not plan.methods[model.method].imported
            and not self._trained_here(model)
            and not self.prediction(cell, method)
        ]

    def stale(self) -> list[str]:
        """Names of tracked files of this plan that are of other code, options or data."""
        plan = self.plan
        valid = [m for cell, ms in plan.cells.items() for n in ms for m in self.kept(cell, n)]
        valid += [
            m
            for model in plan.models.values()
            for m in self._valid(plan.folder(model), self.of_model(model))
        ]
        measured = self.measurements.items()
        valid += [m for path, cell in measured for m in self._kept_measure(cell, path)]
        names = {self.name(p) for cell, ms in plan.cells.items() for p in plan.predictions(cell)}
        names |= {self.name(path) for path in [*plan.models, *self.measurements]}
        known = {str(Path(path).relative_to(self.folder)) for path in valid}
        return sorted((names & set(self.digests)) - known)

    # ----------------------------------------------------------------- what decides a file

    def of_prediction(self, cell: Cell, method: str) -> str:
        """Digest of what decides the predictions of a method in a cell."""
        plan, model = self.plan, self.plan.model_of(cell, method)
        return provenance.digest(
            [
                jobs.predict(plan, method, cell.dataset),
                self._code(plan.methods[method].module),
                self._data(cell.dataset),
                list(cell),
                provenance.code_digest("wavloc.setups", within=("wavloc.setups",)),
                model and self.of_model(model),
            ]
        )

    @functools.cache  # noqa: B019 - lives as long as its plan
    def of_model(self, model: Model) -> str:
        """Digest of what decides a model."""
        plan, name = self.plan, model.method
        split = plan.dataset(model.dataset).splits()[model.split]
        pretrained, start = plan.methods[name].pretrained, plan.methods[name].start
        begun: Any = [pretrained, start]
        if pretrained and not start:
            begun = self.of_model(model._replace(method=pretrained, mics=None))
        return provenance.digest(
            [
                jobs.predict(plan, name, model.dataset) | {"control": False, "mics": model.mics},
                self._code(plan.methods[name].module),
                self._data(model.dataset),
                [split.train, split.valid],
                [files.checksum(path, "sha256") for path in plan.imported(model)],
                begun,
            ]
        )

    def of_measure(self, cell: Cell, path: str) -> str:
        """Digest of what decides a file that is measured in a cell."""
        methods = self._measured_with(cell, path)
        return provenance.digest([self.of_prediction(cell, method) for method in methods])

    def _measured_with(self, cell: Cell, path: str) -> list[str]:
        """Learned methods whose models, or signals, a file is measured with."""
        learned = [m for m in self.plan.cells[cell] if self.plan.model_of(cell, m)]
        signals = path.endswith(DENOISING)
        return [m for m in learned if not signals or self.plan.keeps_audio(cell, m)]

    def _code(self, module: str) -> str:
        return provenance.code_digest(plugins.path_of("methods", module), within=METHODS)

    @functools.cache  # noqa: B019
    def _data(self, dataset: str) -> list[Any]:
        plan = self.plan
        module = plan.config["datasets"][dataset]["module"]
        made = [jobs.simulate(plan, dataset)]
        made += [jobs.prepare(plan, kind) for kind in plan.dataset(dataset).sounds]
        made = [{k: v for k, v in part.items() if k not in ELSEWHERE} for part in made]
        for part in made:
            part["options"] = {k: v for k, v in part["options"].items() if k not in ELSEWHERE}
        names = plugins.path_of("datasets", module), "wavloc.simulation.render"
        return [*made, provenance.code_digest(*names, "wavloc.datasets.sound", within=DATA)]


def _begun(plan: Plan, models: set[Model]) -> list[tuple[Model, str]]:
    """Models with the name of the model that their training begins with."""
    pairs = [(model, plan.methods[model.method]) for model in models]
    return [(m, e.pretrained) for m, e in pairs if e.pretrained and not e.start]


# --------------------------------------------------------------------- keeping


def keep(tracked: Tracked) -> tuple[int, int]:
    """Copy what the run of the plan has made so far: number of files, bytes of the whole folder.

    Signals are left out, and positions of microphones that were given; both are large.
    """
    plan, digests = tracked.plan, dict(tracked.digests)
    made: dict[str, str] = {}
    for cell, methods in plan.cells.items():
        for method in methods:
            predicted = plan.prediction(cell, method)
            if not plan.model_of(cell, method) or not Path(predicted).is_file():
                continue
            found = predictions.load(predicted)
            if not found.meta.get("other_frames"):  # what is kept is worth more than an empty cell
                name = tracked.name(predicted)
                _small(found, cell).save(_below(tracked.folder / name))
                made[name] = tracked.of_prediction(cell, method)
    for folder, model in plan.models.items():
        if (Path(folder) / "method.json").is_file():
            name = tracked.name(folder)
            for file in ("method.json", "history.csv"):
                if (Path(folder) / file).is_file():  # an imported model has no history
                    shutil.copyfile(Path(folder) / file, _below(tracked.folder / name / file))
            made[name] = tracked.of_model(model)
    for path, cell in tracked.measurements.items():
        if Path(path).is_file():
            name = tracked.name(path)
            shutil.copyfile(path, _below(tracked.folder / name))
            made[name] = tracked.of_measure(cell, path)
    files.write_json(tracked.folder / DIGESTS, digests | made)
    there = [file for name in KEPT for file in (tracked.folder / name).rglob("*")]
    size = sum(file.stat().st_size for file in there if file.is_file())
    return len(made), size


def of_other_frames(kept: Predictions, frames: Frames) -> Predictions:
    """What stands for kept predictions that are not of these frames: nothing, and the reason."""
    return Predictions.refused(len(frames), OTHER_FRAMES, kept.meta | {"other_frames": True})


def _below(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _small(found: Predictions, cell: Cell) -> Predictions:
    """Without what is large and in no table."""
    places = found.mic_positions
    if places is not None:
        places = places.astype(np.float32) if cell.setup.startswith("2") else None
    return dataclasses.replace(found, audio=None, mic_positions=places)
