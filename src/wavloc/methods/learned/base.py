"""What all learned methods share: from frames to tensors, prediction in batches, model folders.

A learned method says how its network is built (`build`), which costly features of the sound it
uses (`features`; a training run may keep them), what the network is given (`inputs`), what is
minimised (`loss`) and how positions are estimated (`estimate_batch`). All methods are trained by
the same loop: `wavloc.training.engine`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wavloc import files, seeds
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import max_lag
from wavloc.methods import base
from wavloc.methods.learned.layers import standardise
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup
from wavloc.training.recipe import Recipe
from wavloc.weights import load_into, read_weights

Batch = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

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
        mean, std = (positions.new_tensor(v) for v in (self.position_mean, self.position_std))
        return (positions - mean) / std

    def in_metres(self, positions: Tensor) -> Tensor:
        """The inverse of `normalised`."""
        mean, std = (positions.new_tensor(v) for v in (self.position_mean, self.position_std))
        return positions * std + mean


class Component:
    """A part that a method has besides its network, such as features from a pre-trained network.

    What a component does not need, it leaves as it is here.
    """

    pretrained: bool = False  # comes from the model of another entry, see `begin_with`
    fixes_lags: bool = False  # makes the size of the network depend on the largest lag

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

    learned = True
    min_mics = 1
    uses_sound: ClassVar[bool] = True  # in training, besides the features that are kept of it
    reconstructs: ClassVar[bool] = False  # signals, where `keep_audio` asks for them
    cache: Path = Path("data")  # folder of downloaded files
    Options = Recipe

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        name: str = "",
        seed: int = 0,
        seed_name: str = "",
    ):
        super().__init__(options, name, seed, seed_name)
        self.check_choice("optimizer", ("adamw", "adam"))
        self.check_choice("schedule", ("cosine", "steps", "reference"))
        self.check_choice("noise", ("white", "coloured"))
        for key in ("epochs", "batch", "learning_rate", "predict_batch"):
            if not getattr(self.options, key) > 0:
                raise self.option_error(key, "a number above 0")
        self.components: Sequence[Component] = ()
        self.start: Any = None  # method of this class at whose weights the training starts
        self.training_note: dict[str, Any] = {}
        self.keep_audio = False  # predictions hold reconstructed signals too
        self._stats: DataStats | None = None
        self._network: Network | None = None
        self.set_up()

    def option_error(self, key: str, expected: str) -> InputError:
        """The error that names an option, its value and what was expected."""
        value = getattr(self.options, key)
        given = f"'{value}'" if isinstance(value, str) else value
        return InputError(f"methods.{self.name}.options.{key}: {given}, expected {expected}")

    def check_choice(self, key: str, known: Sequence[str]) -> None:
        """Raise `InputError` where an option is none of the known words."""
        if getattr(self.options, key) not in known:
            raise self.option_error(key, f"one of {', '.join(known)}")

    # ----------------------------------------------------------------- for subclasses

    def set_up(self) -> None:
        """Check the options and make the components; the last step of ``__init__``."""

    @property
    def inputs_note(self) -> str:
        """Types of inputs of this very model for tables, where the entry cannot know them."""
        return ""

    def build(self, stats: DataStats) -> Network:
        """The untrained network."""
        raise TypeError(f"method '{self.name}' defines no build()")

    def hide_source(self, audio: Tensor) -> Tensor:
        """Signals (B, 1 + M, L), without the source's (NaN) where training must not see it."""
        return audio

    def normalise(self, audio: Tensor) -> Tensor:
        """Scale the sound (B, C, N) before noise is added; NaN stays NaN."""
        return standardise(audio)

    def features(self, audio: Tensor) -> Batch:
        """Costly features of normalised sound (B, 1 + M, N), without a gradient; may be none."""
        return {}

    def inputs(self, batch: Batch) -> Batch:
        """What the network is given, without a gradient.

        From audio (B, 1 + M, N), mics (B, M, 3), `features` and, in training, the clean sound and
        the position of the source (B, 3).
        """
        raise TypeError(f"method '{self.name}' defines no inputs()")

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        """Value to be minimised over a batch, and its named terms.

        generator: of random masks; None in validation.
        """
        raise TypeError(f"method '{self.name}' defines no loss()")

    def estimate_batch(self, inputs: Batch) -> Batch:
        """``position`` (B, 3) in metres, and what else the method estimates, as in `Predictions`.

        That is ``mic_positions`` (B, M, 3), ``reliability`` (B, M), ``positions`` (B, K, 3) and
        ``certainty`` (B, K); with `keep_audio` also ``audio`` (B, M + 1, N), standardised.
        """
        raise TypeError(f"method '{self.name}' defines no estimate_batch()")

    def validate(self, inputs: Batch) -> Batch:
        """Metrics of a validation batch, means over frames; ``criterion`` chooses the epoch."""
        position = self.estimate_batch(inputs)["position"]
        error = (position - inputs["source"]).norm(dim=-1).clamp(max=3.0)
        loss, terms = self.loss(inputs, None)
        return {"criterion": error.mean(), "mae_m": error.mean(), "loss": loss, **terms}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with their weight decay: none for biases, norms and tokens."""
        decayed, free = [], []
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                (decayed if parameter.ndim > 1 else free).append(parameter)
        return [
            {"params": decayed, "weight_decay": self.options.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]

    # ----------------------------------------------------------------- the model

    @property
    def network(self) -> Network:
        """The network; `InputError` where there is none yet."""
        if self._network is None:
            raise InputError(f"method '{self.name}' must be trained first; give --model FOLDER")
        return self._network

    @network.setter
    def network(self, network: Network) -> None:
        self._network = network

    @property
    def stats(self) -> DataStats:
        """Statistics of the training data; `InputError` where there are none yet."""
        if self._stats is None:
            raise InputError(f"method '{self.name}' must be trained first; give --model FOLDER")
        return self._stats

    @stats.setter
    def stats(self, stats: DataStats) -> None:
        self._stats = stats

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return self.stats.samples

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

    def to(self, device: str | torch.device) -> LearnedMethod[Network]:
        """Move all networks."""
        for part in self.parts().values():
            part.to(device)
        return self

    @property
    def gpu(self) -> torch.device | None:
        if self._network is None:
            return None
        device = next(self._network.parameters()).device
        return device if device.type == "cuda" else None

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
        """Those that define the network: neither of the `Recipe` nor of the array."""
        others = {field.name for field in dataclasses.fields(Recipe)} | {"max_lag"}
        return {key: value for key, value in options.items() if key not in others}

    def start_from(self, folder: str | Path) -> None:
        """Start the training at the weights of a model of this method with the same sizes.

        `own_options` must be as in the model; the array may be another one.
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

    @property
    def starts_trained(self) -> bool:
        """Whether its training starts at the weights of a model."""
        return self.start is not None

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
            # A trained network has learned how delays relate to metres: keep its unit of length.
            position_std=self.start.stats.position_std if self.start else std,
        )
        seed = seeds.sequence(self.seed, self.seed_name, "init").generate_state(1)[0]
        torch.manual_seed(int(seed))
        self.network = self.build(self.stats)

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

    def tensors(self, frames: Frames) -> Batch:
        """Everything that training needs of frames: audio (F, 1 + M, L), mics, source."""
        audio = np.concatenate([frames.source_audio[:, None], frames.audio], axis=1)
        return {
            "audio": torch.from_numpy(audio.astype(np.float32, copy=False)),
            "mics": torch.from_numpy(frames.mics().astype(np.float32)),
            "source": torch.from_numpy(np.array(frames.source_position, np.float32)),
        }

    # ----------------------------------------------------------------- prediction

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        return super().refusal(frames, setup) or self.misfit(frames)

    def misfit(self, frames: Frames) -> str | None:
        """Why the model cannot take signals such as these, or None."""
        if self._stats is None:
            return None
        if frames.sample_rate != self.stats.sample_rate:
            return (
                f"{self.name} was trained at {self.stats.sample_rate} Hz, "
                f"got {frames.sample_rate} Hz"
            )
        if frames.frame_samples != self.stats.samples:
            return (
                f"{self.name} was trained on {self.stats.samples} samples a frame, "
                f"got {frames.frame_samples}"
            )
        return None

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        device = next(self.network.parameters()).device
        for part in self.parts().values():
            part.eval()
        collected: dict[str, list[np.ndarray]] = {}
        with torch.inference_mode():
            for block in base.blocks(len(frames), self.options.predict_batch, self.name):
                audio = [frames.source_window(block)[:, None], frames.window(block)]
                arrays = {"audio": np.concatenate(audio, axis=1), "mics": frames.mics(block)}
                batch = {
                    name: torch.from_numpy(np.array(value, np.float32)).to(device)
                    for name, value in arrays.items()
                }
                batch["audio"] = self.normalise(batch["audio"])
                batch |= self.features(batch["audio"])
                for name, value in self.estimate_batch(self.inputs(batch)).items():
                    collected.setdefault(name, []).append(value.float().cpu().numpy())
        joined = {name: np.concatenate(blocks) for name, blocks in collected.items()}
        position = joined.pop("position").astype(np.float64)
        status = np.where(np.isfinite(position).all(axis=1), "ok", "failed").astype(object)
        for name in ("mic_positions", "positions"):
            if name in joined:
                joined[name] = joined[name].astype(np.float64)
        return Predictions(position, status, **joined)

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
            "parts": {k: v for part in self.components for k, v in part.sizes().items()},
            "parameters": self.parameters,
            "training": self.training_note,
        }
        if self.inputs_note:
            description["input_types"] = self.inputs_note
        files.write_json(folder / "method.json", description)

    @classmethod
    def load(
        cls, folder: str | Path, options: Mapping[str, Any] | None = None
    ) -> LearnedMethod[Network]:
        """Read what `save` wrote, with the options of the training; ``options`` do not count.

        Anything that does not fit is an `InputError` that names it.
        """
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
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / 'method.json'}: not a model description ({error})"
            ) from None
        file = folder / "weights.safetensors"
        method.restore(read_weights(file), sizes, str(file))
        return method

    def restore(self, weights: Mapping[str, Tensor], sizes: Mapping[str, Any], where: str) -> None:
        """Build all networks and fill them with weights ``<part>.<name>``."""
        for component in self.components:
            component.restore(sizes, where)
        self.network = self.build(self.stats)
        for part, network in self.parts().items():
            prefix = part + "."
            own = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
            load_into(network, own, where)
            network.eval()
        surplus = [key for key in weights if key.partition(".")[0] not in self.parts()]
        if surplus:
            raise InputError(f"{where}: unexpected weight '{surplus[0]}'")
