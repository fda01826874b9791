"""The training loop: data resident on the device, new noise and shifts in every step, exact resume.

Every random draw of a step comes from a generator seeded by (seed, purpose, epoch, step), so a run
that is killed and started again ends in the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from wavloc import meter, provenance, seeds
from wavloc.devices import choose_device
from wavloc.errors import InputError, WorkError
from wavloc.frames import Frames
from wavloc.simulation import augment, fresh
from wavloc.training import flat, history, parallel, precision, state, store
from wavloc.training.recipe import rate_factor

Batch = dict[str, Tensor]
PLACES = ("mics", "source", "sources")  # positions among the targets of a method
BLOCK = 16  # frames whose features are computed at once; it decides their draws


class Trainable(Protocol):
    """What the loop asks of a method; `wavloc.methods.learned.base` says what each part does."""

    name: str
    seed: int
    seed_name: str  # enters every seed
    options: Any  # a `Recipe`
    network: Any  # nn.Module
    stats: Any  # statistics of the training data
    start: Any  # method at whose weights the training starts, or None
    training_note: dict[str, Any]
    uses_sound: ClassVar[bool]
    half_pays: ClassVar[bool]

    def to(self, device: torch.device) -> Any: ...
    def parts(self) -> Mapping[str, nn.Module]: ...
    def parameter_groups(self) -> list[dict[str, Any]]: ...
    def targets(self, frames: Frames) -> Batch: ...
    def hide_source(self, audio: Tensor) -> Tensor: ...
    def normalise(self, audio: Tensor) -> Tensor: ...
    def kept_features(self) -> list[store.Feature]: ...
    def features(self, audio: Tensor) -> Batch: ...
    def inputs(self, batch: Batch) -> Batch: ...
    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]: ...
    def validate(self, inputs: Batch) -> Batch: ...


@dataclasses.dataclass
class Run:
    """Where and how a training runs; the method says what is trained and by which recipe.

    folder: for the state of an unfinished run, removed by `finish`; save_every_s: seconds between
    saved states (0: after every epoch). accumulate: number of parts in which a batch passes the
    network, to save memory; their gradients add up to that of the batch. Each part, as each process
    of a group, has its own batch statistics, dropout and random masks. store: where frames and
    features are kept, shared with other trainings or in memory.
    """

    folder: Path
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    save_every_s: float = 10.0
    seconds: float = math.inf  # stop (resumable) after this long
    accumulate: int = 1
    store: store.Store = dataclasses.field(default_factory=store.Store)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    finished: bool = False

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise InputError(f"accumulate {self.accumulate}, expected 1 part or more")
        self.torch_device = choose_device(self.device)
        self._compute_in(precision.resolved(self.precision, self.torch_device))
        self.gpu = self.torch_device if self.torch_device.type == "cuda" else None
        self.group = parallel.Group.joined(self.torch_device)

    def _compute_in(self, name: str) -> None:
        self.automatic = self.precision == precision.AUTO
        self.precision, self.format = name, precision.format_of(name)

    def train(self, method: Trainable, train: Frames, valid: Frames) -> None:
        """Train ``method.network`` in place; the weights of the best validation epoch are kept."""
        if self.automatic and not method.half_pays:
            self._compute_in("float32")
        with _deterministic(self.torch_device):
            self._train(method, train, valid)

    def _train(self, method: Trainable, train: Frames, valid: Frames) -> None:
        recipe, device = method.options, self.torch_device
        spent = meter.Meter(self.gpu)
        method.to(device)
        copies = 0 if recipe.fresh else recipe.copies  # fresh rooms make stored copies useless
        trained = _Data(self, method, train, "train", copies)
        checked = _Data(self, method, valid, "valid", 1)
        per_epoch = trained.steps * recipe.batch
        optimizer = flat.optimizer(method)
        self.folder = self.folder / _identity(method, train, valid)
        if self.group.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            for other in self.folder.parent.iterdir():
                if other.is_dir() and other != self.folder:
                    shutil.rmtree(other)
        self.group.wait()

        note: dict[str, Any] = {"epoch": 0, "best": math.inf, "best_epoch": 0}
        note |= {"history": [], "cost": {}}
        best = {k: v.detach().clone() for k, v in method.network.state_dict().items()}
        resumed = state.load(self.folder, method.network, optimizer)
        if resumed:
            note, best = resumed
        elif method.start:  # keep these weights unless an epoch is better
            note["best"] = self._validate(checked)["criterion"]
        before = note["cost"]  # of the interrupted runs that this one continues
        network = method.network
        if self.compile:
            method.network = torch.compile(network)
        started, saved = time.monotonic(), time.monotonic()
        bar = tqdm(
            total=recipe.epochs * per_epoch,
            initial=note["epoch"] * per_epoch,
            desc=f"train {method.name}",
            unit="frame",
            disable=None if self.group.first else True,
        )
        with bar:
            for epoch in range(note["epoch"], recipe.epochs):
                begun = time.perf_counter()
                row = self._epoch(trained, optimizer, epoch, bar)
                row |= self._validate(checked)
                row["frames_per_s"] = per_epoch / (time.perf_counter() - begun)
                note["history"].append({"epoch": epoch + 1, **row})
                note["epoch"] = epoch + 1
                if row["criterion"] < note["best"]:
                    note |= {"best": row["criterion"], "best_epoch": epoch + 1}
                    best = {k: v.detach().clone() for k, v in network.state_dict().items()}
                bar.set_postfix_str(f"valid {row['criterion']:.3f}", refresh=False)
                done = epoch + 1 == recipe.epochs
                stop = self.group.agreed(time.monotonic() - started > self.seconds)
                due = done or stop or time.monotonic() - saved >= self.save_every_s
                if due and self.group.first:
                    note["cost"] = meter.add(before, spent.read())
                    state.save(self.folder, network, best, optimizer, note)
                    saved = time.monotonic()
                if stop and not done:
                    break
        method.network = network
        network.load_state_dict(best)
        flat.separate(network)
        network.eval()
        self.rows, self.finished = note["history"], note["epoch"] == recipe.epochs
        method.training_note |= {"epochs": note["epoch"], "best_epoch": note["best_epoch"]}
        method.training_note |= {"criterion": note["best"], "cost": note["cost"]}
        method.training_note |= {"frames": len(train), "valid_frames": len(valid)}
        method.training_note |= {"flat_since": history.flat_since(self.rows)}
        method.training_note |= {"converged": history.converged(self.rows)}

    def _epoch(
        self, data: _Data, optimizer: torch.optim.Optimizer, epoch: int, bar: tqdm
    ) -> dict[str, float]:
        """One pass over the training frames: mean loss and its parts."""
        method, device = data.method, self.torch_device
        recipe, per_epoch = method.options, data.steps
        order = torch.randperm(
            len(data), generator=_generator(method, torch.device("cpu"), "order", epoch)
        ).to(device)
        method.network.train()
        own = [self.group.rank] if self.group.rank else []  # the first draws as a single process
        total: dict[str, Tensor] = {}
        for step in range(per_epoch):
            _seed_default(device, _seed(method, "dropout", epoch, step, *own))
            generator = _generator(method, device, "step", epoch, step)
            index = order[step * recipe.batch : (step + 1) * recipe.batch]
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * rate_factor(
                    recipe, epoch * per_epoch + step, per_epoch
                )
            inputs = data.batch(index, epoch, generator)
            if own:
                generator = _generator(method, device, "masks", epoch, step, *own)
            optimizer.zero_grad(set_to_none=False)  # the parameters' gradients are parts of it
            for part, weight in _parts(inputs, self.accumulate):
                with precision.autocast(device, self.format.network, self.format.tf32):
                    loss, terms = method.loss(part, generator)
                with precision.autocast(device, None, self.format.tf32):
                    (loss * weight).backward()
                for name, value in {"loss": loss.detach(), **terms}.items():
                    total[name] = total.get(name, 0) + value * weight
            self.group.average_gradients(method.network)
            optimizer.step()
            bar.update(recipe.batch)
        self.group.average(method.network.buffers())
        sums = self.group.summed({name: float(value) for name, value in total.items()})
        steps = per_epoch * self.group.size
        mean = {f"train_{name}": value / steps for name, value in sums.items()}
        broken = [name for name, value in mean.items() if not math.isfinite(value)]
        if broken:
            raise WorkError(
                f"training of '{method.name}' diverged in epoch {epoch + 1}: {broken[0]} is "
                f"{mean[broken[0]]} at learning rate {optimizer.param_groups[0]['lr']:.2g}; "
                "try a lower learning_rate"
            )
        return {"learning_rate": optimizer.param_groups[0]["lr"], **mean}

    @torch.no_grad()
    def _validate(self, data: _Data) -> dict[str, float]:
        """Mean metrics over all validation frames, with nothing masked at random."""
        method = data.method
        method.network.eval()
        total: dict[str, Tensor] = {}
        size = method.options.batch
        for start in range(self.group.rank * size, len(data), self.group.size * size):
            index = torch.arange(start, min(start + size, len(data)), device=self.torch_device)
            with precision.autocast(self.torch_device, self.format.network, self.format.tf32):
                metrics = method.validate(data.batch(index))
            for name, value in metrics.items():
                total[name] = total.get(name, 0) + value * len(index)
        sums = self.group.summed({name: float(value) for name, value in total.items()})
        return {name: value / len(data) for name, value in sums.items()}

    def describe(self) -> dict[str, Any]:
        """The device in words; numbers of parts and processes of a batch, where above one."""
        counts = {"accumulate": self.accumulate, "processes": self.group.size}
        return {"device": meter.device(self.gpu), "precision": self.precision} | {
            name: count for name, count in counts.items() if count > 1
        }

    def write(self, folder: Path) -> None:
        """History as csv and plot."""
        history.write(folder, self.rows)

    def finish(self) -> None:
        """Remove the state of the finished run."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


class _Data:
    """Frames of a training. With copies, the features of that many augmented copies are kept; the
    sound itself is still augmented in every step.
    """

    def __init__(self, run: Run, method: Trainable, frames: Frames, role: str, copies: int):
        self.method, self.role = method, role
        self.device, self.format, self.group = run.torch_device, run.format, run.group
        self.count, self.rate = len(frames), frames.sample_rate
        self.targets = self._placed(method.targets(frames))
        self.rooms: fresh.Rooms | None = None
        if method.options.fresh and role == "train":
            t60_s = (method.options.fresh_t60_low_s, method.options.fresh_t60_high_s)
            self.rooms = fresh.Rooms.of(frames, t60_s)
        made_of, title = store.of_frames(frames), f"{role} sound of {method.name}"
        sound = run.store.kept(
            ["sound", made_of], len(frames), BLOCK, lambda b: store.sound(frames, b), title
        )
        sound = self._placed(sound)
        self.sound, self.known = sound["sound"], sound["known"]
        features = method.kept_features() if copies else []
        self.kept = [self._features_of_all(run, made_of, features, c) for c in range(copies)]
        self.hears = method.uses_sound or not features
        if not self.hears:
            self.sound = torch.empty(0)

    def __len__(self) -> int:
        return self.count

    @property
    def steps(self) -> int:
        """Whole batches, or one where there are fewer frames."""
        return max(1, self.count // self.method.options.batch)

    def _placed(self, arrays: Batch) -> Batch:
        return {name: value.to(self.device) for name, value in arrays.items()}

    def batch(self, index: Tensor, epoch: int = 0, generator: Any = None) -> Batch:
        """Inputs of this process's share of some frames; without a generator (validation) of all,
        the same ones every time.
        """
        group = self.group if generator else parallel.Group()
        generator = generator or _generator(self.method, self.device, "valid", int(index[0]))
        batch = {name: value[index] for name, value in self.targets.items()}
        batch["known"] = self.known[index]
        if self.hears:
            batch |= self._augmented(index, generator)
        if self.role == "train" and self.method.options.mirrored:
            places = {name: batch[name] for name in PLACES if name in batch}
            batch |= augment.mirrored(places, self.method.stats.position_mean, generator)
        own = group.share(torch.arange(len(index), device=index.device))
        if len(own) < len(index):
            batch, index = {name: value[own] for name, value in batch.items()}, index[own]
        if self.kept and self.kept[0]:
            kept = self.kept[epoch % len(self.kept)]
            batch |= {name: value.index_select(0, index) for name, value in kept.items()}
        else:
            with precision.autocast(self.device, self.format.features, self.format.tf32):
                batch |= self.method.features(batch["audio"])
        return self.method.inputs(batch)

    @torch.no_grad()
    def _augmented(self, index: Tensor, generator: torch.Generator) -> Batch:
        """New rooms or a time shift, gains, normalisation and noise; validation keeps its rooms.

        Signals ``audio`` and ``clean`` (B, 1 + M, N), and which of them are ``known`` (B, 1 + M).
        """
        method, recipe, samples = self.method, self.method.options, self.method.stats.samples
        targets: Batch = {}
        if self.rooms:
            dry, mics = self.sound[index, 0].float(), self.targets["mics"][index]
            cut, targets["source"] = self.rooms.simulate(dry, mics, samples, generator)
        else:
            shift = round(recipe.shift_s * self.rate)
            moved = generator if self.role == "train" else None
            cut = augment.shifted(self.sound, samples, shift, moved, index.tolist())
        cut = method.hide_source(cut)
        if self.role == "train" and recipe.gain_jitter_db:
            cut = augment.uncalibrated(cut, recipe.gain_jitter_db, generator)
        clean = method.normalise(cut)
        snr_db = (recipe.snr_low_db, recipe.snr_high_db)
        noisy = augment.noisy(clean, snr_db, generator, recipe.noise)
        known = self.known[index] & torch.isfinite(cut[..., 0])
        return targets | {"audio": noisy, "clean": clean, "known": known}

    def _features_of_all(
        self, run: Run, made_of: str, features: list[store.Feature], copy: int
    ) -> Batch:
        """Features of one augmented copy of all frames.

        The draws depend on the frames and the copy alone, so that methods share what they can.
        """
        method, recipe = self.method, self.method.options
        hidden = bool(method.hide_source(torch.zeros(1, 2, 1))[0, 0].isnan())
        drawn = [recipe.shift_s, recipe.snr_low_db, recipe.snr_high_db, recipe.noise]
        drawn += [recipe.gain_jitter_db, hidden]
        where = [self.device.type, str(self.format.features), self.role, copy, method.seed]
        kept: Batch = {}
        for feature in features:
            earlier = dict(kept)

            def compute(
                block: slice, feature: store.Feature = feature, earlier: Batch = earlier
            ) -> Batch:
                index = torch.arange(block.start, block.stop, device=self.device)
                words = ("copy", self.role, copy, block.start)
                seed = seeds.sequence(method.seed, *words).generate_state(1)[0]
                generator = torch.Generator(self.device).manual_seed(int(seed))
                audio = self._augmented(index, generator)["audio"]
                before = {name: value[block].float() for name, value in earlier.items()}
                with (
                    torch.no_grad(),
                    precision.autocast(self.device, self.format.features, self.format.tf32),
                ):
                    return {feature.name: feature.compute(audio, before)}

            title = f"{self.role} features ({feature.name}) of {method.name}, copy {copy + 1}"
            key = [feature.name, feature.made_of(), made_of, drawn, where]
            kept |= self._placed(run.store.kept(key, self.count, BLOCK, compute, title))
        return kept


def _parts(inputs: Batch, count: int) -> Iterator[tuple[Batch, float]]:
    """A batch in at most ``count`` parts, each with its share of the frames."""
    size = len(next(iter(inputs.values())))
    for place in torch.arange(size).chunk(count):
        part = slice(int(place[0]), int(place[-1]) + 1)
        yield {name: value[part] for name, value in inputs.items()}, len(place) / size


def _seed_default(device: torch.device, seed: int) -> None:
    """As `torch.manual_seed`, which also looks for other devices, at the cost of a small step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _seed(method: Trainable, *axis: str | int) -> int:
    return int(seeds.sequence(method.seed, method.seed_name, *axis).generate_state(1)[0])


def _generator(method: Trainable, device: torch.device, *axis: str | int) -> torch.Generator:
    return torch.Generator(device).manual_seed(_seed(method, *axis))


def _identity(method: Trainable, train: Frames, valid: Frames) -> str:
    """Digest of all that decides a training, so that only its own state is continued."""
    data = [
        [len(part), np.asarray(part.source_position).sum(), np.asarray(part.audio[0]).sum()]
        for part in (train, valid)
    ]
    data += [  # the initial weights
        [name, sum(float(value.double().sum()) for value in part.state_dict().values())]
        for name, part in method.parts().items()
    ]
    code = provenance.code_digest(__name__, type(method).__module__)
    described = [method.name, method.seed, dataclasses.asdict(method.options), code]
    return provenance.digest([*described, [[str(value) for value in row] for row in data]])


@contextlib.contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """On a CPU use only algorithms that give the same bits every time.

    Filling uninitialised memory would take a tenth of a step, and no operation here reads it.
    """
    before = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(device.type == "cpu")
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
