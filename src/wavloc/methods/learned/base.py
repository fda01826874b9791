"""What all learned methods share: from frames to tensors, prediction in batches, model folders.

All are trained by the same loop: `wavloc.training.engine`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wavloc import files, seeds
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames, blocks
from wavloc.geometry import max_lag
from wavloc.methods import base
from wavloc.methods.learned.layers import standardise
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup
from wavloc.training.recipe import Recipe
from wavloc.training.store import Feature
from wavloc.weights import load_into, read_weights

Batch = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

# Largest delay of an array, relative to that of the training, above which predictions are refused.
# Microphones that are up to 1 m away from where they are said to be stay below.
FAR_WIDER = 1.5
# Files of a model folder, and those that training adds.
MODEL, MORE = ("method.json", "weights.safetensors"), ("history.csv", "history.png")


@dataclasses.dataclass(frozen=True)
class DataStats:
    """What a model must know of its training data besides its weights."""

    mics: int
    samples: int
    sample_rate: int
    speed_of_sound: float
    max_lag: int  # samples
    position_mean: tuple[float, ...]  # of the sources, metres
    position_std: tuple[float, ...]  # per axis, unbiased, metres

    def normalised(self, positions: Tensor) -> Tensor:
        """Positions (..., 3) in metres -> zero mean and unit deviation."""
        mean, std = map(positions.new_tensor, (self.position_mean, self.position_std))
        return (positions - mean) / std

    def in_metres(self, positions: Tensor) -> Tensor:
        """The inverse of `normalised`."""
        mean, std = map(positions.new_tensor, (self.position_mean, self.position_std))
        return positions * std + mean


def known_signals(batch: Batch) -> Tensor:
    """Which signals (B, 1 + M) are there; a training has looked at them before."""
    return batch["known"] if "known" in batch else finite(batch["audio"])


def finite(audio: Tensor) -> Tensor:
    """Which signals (B, C) of normalised audio (B, C, N) hold no NaN: one pass, by their sums."""
    return torch.isfinite(audio.sum(-1))


class Component:
    """A part that a method has besides its network, such as features from a pre-trained network."""

    pretrained: bool = False  # comes from the model of another entry, see `begin_with`
    fixes_lags: bool = False  # makes the size of the network depend on the largest lag

    @property
    def inputs_note(self) -> str:
        """Types of inputs for tables, where it knows more of them than the entry of the method."""
        return ""

    def begin_with(self, folder: str | Path) -> None:
        """Take what it needs from the model of another entry."""

    def start_from(self, started: Any) -> None:
        """Take what it needs from the same component of the model that a training starts from."""

    def prepare(self, method: LearnedMethod[Any]) -> None:
        """Make ready for training, before the network is built."""

    def parts(self) -> dict[str, nn.Module]:
        """Networks that are saved with the method, by name."""
        return {}

    def sizes(self) -> dict[str, Any]:
        """What `restore` must know that the options do not tell, by name of the part."""
        return {}

    def restore(self, sizes: Mapping[str, Any], where: str) -> None:
        """Build `parts` again from stored `sizes`."""


class LearnedMethod(base.Method, Generic[Network]):
    """Base of the learned methods; they define `build`, `inputs`, `loss` and `estimate_batch`."""

    min_mics = 1
    uses_sound: ClassVar[bool] = True  # in training, besides the features that are kept of it
    half_pays: ClassVar[bool] = True  # whether its products are faster in half precision
    reconstructs: ClassVar[bool] = False  # signals, where `keep_audio` asks for them
    cache: Path = Path("data")  # folder of downloaded files
    components: Sequence[Component] = ()
    start: Any = None  # method of this class at whose weights the training starts
    keep_audio: bool = False  # predictions hold reconstructed signals too
    Options = Recipe
    network: Network  # these two come with `prepare` or `load`
    stats: DataStats

    def set_up(self) -> None:
        """Check the recipe; methods check the rest and make their components."""
        self.training_note: dict[str, Any] = {}

    # ----------------------------------------------------------------- for subclasses

    @property
    def inputs_note(self) -> str:
        """Types of inputs for tables, where a component knows more of them than the entry."""
        return "".join(component.inputs_note for component in self.components)

    def build(self, stats: DataStats) -> Network:
        """The untrained network."""
        raise TypeError(f"method '{self.name}' defines no build()")

    def hide_source(self, audio: Tensor) -> Tensor:
        """Signals (B, 1 + M, L), without the source's (NaN) where training must not see it."""
        return audio

    def normalise(self, audio: Tensor) -> Tensor:
        """Scale the sound (B, C, N) before noise is added; NaN stays NaN."""
        return standardise(audio)

    def kept_features(self) -> list[Feature]:
        """Costly features of normalised sound, without a gradient, which a training may keep."""
        return []

    def features(self, audio: Tensor) -> Batch:
        """`kept_features` of normalised sound (B, 1 + M, N)."""
        made: Batch = {}
        for feature in self.kept_features():
            made[feature.name] = feature.compute(audio, made)
        return made

    def inputs(self, batch: Batch) -> Batch:
        """What the network is given, without a gradient.

        From audio (B, 1 + M, N), mics (B, M, 3), `features` and, in training, the clean sound,
        which signals are known (B, 1 + M) and the position of the source (B, 3).
        """
        raise TypeError(f"method '{self.name}' defines no inputs()")

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        """Value to be minimised, and its named terms; generator: of masks, None in validation."""
        raise TypeError(f"method '{self.name}' defines no loss()")

    def estimate_batch(self, inputs: Batch) -> Batch:
        """``position`` (B, 3) in metres, and what else the method estimates, as in `Predictions`.

        That is ``mic_positions`` (B, M, 3), ``reliability`` (B, M), ``positions`` (B, K, 3) and
        ``certainty`` (B, K); with `keep_audio` also ``audio`` (B, M + 1, N), standardised.
        """
        raise TypeError(f"method '{self.name}' defines no estimate_batch()")

    def located(self, inputs: Batch) -> Tensor:
        """``position`` (B, 3) of `estimate_batch`, for those that can do without the rest."""
        return self.estimate_batch(inputs)["position"]

    def validate(self, inputs: Batch) -> Batch:
        """Metrics of a validation batch, means over frames; ``criterion`` chooses the epoch."""
        position = self.located(inputs)
        error = (position - inputs["source"]).norm(dim=-1).clamp(max=3.0)
        loss, terms = self.loss(inputs, None)
        return {"criterion": error.mean(), "mae_m": error.mean(), "loss": loss, **terms}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with their weight decay: none for biases, norms and tokens."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        decayed, free = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
        return [
            {"params": decayed, "weight_decay": self.options.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]

    def options_of(self, network: type[nn.Module]) -> dict[str, Any]:
        """Options that are arguments of a network's constructor, by name."""
        names = inspect.signature(network).parameters
        options = dataclasses.asdict(self.options)
        return {name: value for name, value in options.items() if name in names}

    # ----------------------------------------------------------------- the model

    @property
    def trained(self) -> bool:
        """Whether it has a network."""
        return "network" in vars(self)

    def require_model(self) -> None:
        """Raise `InputError` where there is no network yet."""
        if not self.trained:
            raise InputError(f"method '{self.name}' must be trained first; give --model FOLDER")

    def parts(self) -> dict[str, nn.Module]:
        """Networks that are saved, by name."""
        parts: dict[str, nn.Module] = {"network": self.network}
        for component in self.components:
            parts |= component.parts()
        return parts

    @property
    def parameters(self) -> int:
        """Number of parameters of everything that the model holds."""
        return sum(value.numel() for part in self.parts().values() for value in part.parameters())

    def to(self, device: str | torch.device) -> Self:
        """Move all networks."""
        self.require_model()
        for part in self.parts().values():
            part.to(device)
        return self

    @property
    def gpu(self) -> torch.device | None:
        device = next(self.network.parameters()).device if self.trained else None
        return device if device and device.type == "cuda" else None

    # ----------------------------------------------------------------- training

    @property
    def pretrained(self) -> bool:
        """Whether its training begins with the model of another entry."""
        return any(component.pretrained for component in self.components)

    def begin_with(self, folder: str | Path) -> None:
        """Take what it needs from the model of another entry."""
        if not self.pretrained:
            raise InputError(f"method '{self.name}' begins with no other model; got {folder}")
        for component in self.components:
            component.begin_with(folder)

    @staticmethod
    def own_options(options: Mapping[str, Any]) -> dict[str, Any]:
        """Options that define the network: neither of the `Recipe` nor of the array."""
        others = {field.name for field in dataclasses.fields(Recipe)} | {"max_lag"}
        return {key: value for key, value in options.items() if key not in others}

    def start_from(self, folder: str | Path) -> None:
        """Start the training at the weights of a model of this method with the same `own_options`;
        the array may be another one.
        """
        self.start = type(self).load(folder)
        for key, value in self.own_options(dataclasses.asdict(self.start.options)).items():
            own = getattr(self.options, key)
            if own != value:
                raise InputError(
                    f"methods.{self.name}.options.{key}: {own!r}, expected {value!r} as in the "
                    f"model {folder} that the training starts from"
                )
        for component, started in zip(self.components, self.start.components, strict=True):
            component.start_from(started)
        self.training_note["start"] = str(folder)

    def fit(self, train: Frames, valid: Frames, run: Any) -> None:
        """Train on ``train``; ``valid`` chooses the epoch that is kept. run: the training run."""
        self.prepare(train)
        if self.start:
            weights = self.start.network.state_dict()
            load_into(self.network, weights, f"{self.training_note['start']}, its network")
        run.train(self, train, valid)

    def prepare(self, train: Frames) -> None:
        """Statistics of the training data, and a network with seeded initial weights."""
        for component in self.components:
            component.prepare(self)
        source = np.asarray(train.source_position, np.float64)
        if not np.isfinite(source).all():
            raise InputError("training needs the source position of every frame")
        std = tuple(np.maximum(source.std(axis=0, ddof=1), 1e-3).tolist())
        self.stats = DataStats(
            mics=train.n_mics,
            samples=FRAME_SAMPLES,
            sample_rate=train.sample_rate,
            speed_of_sound=train.speed_of_sound,
            max_lag=self.lag(train),
            position_mean=tuple(source.mean(axis=0).tolist()),
            position_std=self._unit(self.start.stats, train) if self.start else std,
        )
        seed = seeds.sequence(self.seed, self.seed_name, "init").generate_state(1)[0]
        torch.manual_seed(int(seed))
        self.network = self.build(self.stats)

    @staticmethod
    def _unit(started: DataStats, train: Frames) -> tuple[float, ...]:
        """Unit of length (3,) in metres of a network that goes on with other training data.

        A trained network relates delays to its unit of length: a delay must stay as many of them.
        """
        return tuple(
            unit * train.speed_of_sound / started.speed_of_sound for unit in started.position_std
        )

    def lag(self, train: Frames) -> int:
        """Largest lag in samples: the option, or what the training array allows.

        A network of fixed lags that starts from a model has the lags of that model. Where these
        are too few for the array, the option must say that longer delays may be cut off.
        """
        chosen = int(getattr(self.options, "max_lag", 0))
        own = chosen or max_lag(train.mic_positions, train.sample_rate, train.speed_of_sound)
        if not self.start or not any(component.fixes_lags for component in self.components):
            return own
        started = self.start.stats.max_lag
        if own > started or chosen not in (0, started):
            raise InputError(
                f"methods.{self.name}.options.max_lag: {own}, as "
                f"{'stated' if chosen else 'the microphones allow'}, but the model "
                f"{self.training_note['start']} has {started}; expected microphones that allow no "
                f"more, or max_lag: {started} (longer delays are then cut off)"
            )
        return started

    def targets(self, frames: Frames) -> Batch:
        """What training needs of frames besides the sound: mics (F, M, 3), source (F, 3)."""
        return {
            "mics": torch.from_numpy(frames.mics().astype(np.float32)),
            "source": torch.from_numpy(np.array(frames.source_position, np.float32)),
        }

    # ----------------------------------------------------------------- prediction

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        return super().refusal(frames, setup) or self.misfit(frames)

    def misfit(self, frames: Frames) -> str | None:
        """Why the model cannot take signals such as these, or None."""
        if not self.trained:
            return None
        stats, rate, samples = self.stats, frames.sample_rate, frames.frame_samples
        if rate != stats.sample_rate:
            return f"{self.name} was trained at {stats.sample_rate} Hz, got {rate} Hz"
        if samples != stats.samples:
            return f"{self.name} was trained on {stats.samples} samples a frame, got {samples}"
        if getattr(self.options, "max_lag", 0) or not np.isfinite(frames.mic_positions).any():
            return None
        lag = max_lag(frames.mic_positions, rate, frames.speed_of_sound)
        if lag > FAR_WIDER * stats.max_lag:
            return (
                f"{self.name} was trained on microphones with delays of at most "
                f"{stats.max_lag} samples, got {lag}: a far wider array"
            )
        return None

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        """As `estimate_batch`. The network knows the speed of sound of its training alone, so the
        array is shown to it at the size at which that speed gives the same delays.
        """
        self.require_model()
        center = np.array(self.stats.position_mean)
        scale = self.stats.speed_of_sound / frames.speed_of_sound
        device = next(self.network.parameters()).device
        for part in self.parts().values():
            part.eval()
        parts: dict[str, list[np.ndarray]] = {}
        with torch.inference_mode():
            for block in blocks(len(frames), self.options.predict_batch, self.name):
                sound = [frames.source_window(block)[:, None], frames.window(block)]
                places = frames.mics(block)
                if scale != 1:
                    places = center + (places - center) * scale
                arrays = np.concatenate(sound, axis=1), places
                tensors = (torch.from_numpy(np.array(array, np.float32)) for array in arrays)
                audio, mics = (tensor.to(device) for tensor in tensors)
                audio = self.normalise(audio)
                batch = {"audio": audio, "mics": mics} | self.features(audio)
                for name, value in self.estimate_batch(self.inputs(batch)).items():
                    parts.setdefault(name, []).append(value.float().cpu().numpy())
        joined: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
        for name in joined.keys() & {"position", "mic_positions", "positions"}:
            joined[name] = joined[name].astype(np.float64)
            if scale != 1:
                joined[name] = center + (joined[name] - center) / scale
        located = np.isfinite(joined["position"]).all(axis=1)
        return Predictions(status=np.where(located, "ok", "failed").astype(object), **joined)

    # ----------------------------------------------------------------- model folders

    def save(self, folder: str | Path) -> None:
        """Weights (safetensors), and options, data statistics and notes on the training (json)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, network in self.parts().items()
            for name, value in network.state_dict().items()
        }
        with files.replacing(folder / "weights.safetensors") as temporary:
            save_file(weights, temporary)
        description = {
            "name": self.name,
            "module": type(self).__module__.rpartition(".")[2],
            "options": dataclasses.asdict(self.options),
            "seed": self.seed,
            "seed_name": self.seed_name,
            "data_stats": dataclasses.asdict(self.stats),
            "weights_sha256": files.sha256(folder / "weights.safetensors"),
            "parts": {k: v for part in self.components for k, v in part.sizes().items()},
            "parameters": self.parameters,
            "training": self.training_note,
        }
        if self.inputs_note:
            description["input_types"] = self.inputs_note
        files.write_json(folder / "method.json", description)

    @classmethod
    def load(cls, folder: str | Path, options: Mapping[str, Any] | None = None) -> Self:
        """Read what `save` wrote, with the options of the training; `InputError` names a misfit."""
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such model folder")
        stored = files.read_json(folder / "method.json")
        module = cls.__module__.rpartition(".")[2]
        try:
            if stored["module"] != module:
                raise InputError(
                    f"{folder}: a model of '{stored['module']}', expected one of '{module}'"
                )
            method = cls(stored["options"], stored["name"], stored["seed"], stored["seed_name"])
            stats = stored["data_stats"]
            positions = {k: tuple(stats[k]) for k in ("position_mean", "position_std")}
            method.stats = DataStats(**stats | positions)
            method.training_note, sizes = stored["training"], stored["parts"]
        except (KeyError, TypeError, AttributeError) as error:
            where = folder / "method.json"
            raise InputError(f"{where}: not a model description ({error})") from None
        file = folder / "weights.safetensors"
        weights = read_weights(file)
        for component in method.components:
            component.restore(sizes, str(file))
        method.network = method.build(method.stats)
        for part, network in method.parts().items():
            own = [key for key in weights if key.startswith(f"{part}.")]
            state = {key.removeprefix(f"{part}."): weights.pop(key) for key in own}
            load_into(network.eval(), state, str(file))
        for key in weights:
            raise InputError(f"{file}: unexpected weight '{key}'")
        if files.sha256(file) != stored.get("weights_sha256"):
            raise InputError(f"{file}: damaged, not the weights that method.json was written with")
        return method
