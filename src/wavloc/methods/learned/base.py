"""What all learned methods share: from frames to tensors, prediction in batches, model folders.

A learned method says how its network is built (`build`), which costly features of the sound it
takes (`features`; a training run may keep them), what the network is given (`inputs`), what is
minimised (`loss`) and how the network answers (`answer`). The loop that trains is the same for all:
`wavloc.training.engine`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from wavloc import files
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import max_lag
from wavloc.methods.base import Method, blocks
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Batch = dict[str, Tensor]


# Content of a model folder, and what training adds.
MODEL, MORE = ("method.json", "weights.safetensors"), ("history.csv", "history.png")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; every learned method's options begin with these."""

    epochs: int = 500
    batch: int = 256
    learning_rate: float = 5e-4
    optimizer: str = "adamw"  # adamw or adam
    weight_decay: float = 0.1
    schedule: str = "cosine"  # cosine, steps (halved at milestones) or reference (public code)
    warmup: float = 0.02  # share of all steps, linear from above zero
    final_rate: float = 0.01  # last learning rate of the cosine, relative
    milestones: tuple[float, ...] = ()  # shares of all steps
    snr_low_db: float = 0.0  # noise that is added in training
    snr_high_db: float = 30.0
    noise: str = "white"  # or coloured, as the public code
    shift_s: float = 0.05  # common time shift, uniform in +-
    copies: int = 0  # augmented copies whose features are kept; 0 = anew in every step
    # A new source position and new walls in every step, from the dry sound; no copies are kept.
    fresh: bool = False
    fresh_t60_low_s: float = 0.0  # nominal, uniform between the two
    fresh_t60_high_s: float = 0.4
    valid_share: float = 0.1  # of each training recording, where no validation track is named
    predict_batch: int = 16


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a model must know besides its weights; all of it from the training data."""

    mics: int
    samples: int
    sample_rate: int
    speed_of_sound: float
    max_lag: int  # samples
    centre: tuple[float, ...]  # of the source positions, metres
    spread: tuple[float, ...]  # their (unbiased) standard deviation per axis, metres


class LearnedMethod(Method):
    """Base of the learned methods; subclasses define `build`, `inputs`, `loss` and `answer`."""

    learned = True
    min_mics = 1
    trained_as: ClassVar[str] = ""  # method that trains its model, if another
    uses_sound: ClassVar[bool] = True  # in training, besides the features that are kept of it
    reconstructs: ClassVar[bool] = False  # signals, where `keep_audio` asks for them
    cache: Path = Path("data")  # folder of fetched files
    Options = Recipe

    def __init__(self, options: Mapping[str, Any] | None = None, name: str = "", seed: int = 0):
        super().__init__(options, name, seed)
        self.check_choice("optimizer", ("adamw", "adam"))
        self.check_choice("schedule", ("cosine", "steps", "reference"))
        self.check_choice("noise", ("white", "coloured"))
        for key in ("epochs", "batch", "learning_rate", "predict_batch"):
            if not getattr(self.options, key) > 0:
                raise InputError(
                    f"methods.{self.name}.options.{key}: {getattr(self.options, key)}, "
                    "expected a number above 0"
                )
        self.facts: Facts | None = None
        self.network: nn.Module | None = None
        self.start: LearnedMethod | None = None  # whose weights its training begins at
        self.training_note: dict[str, Any] = {}
        self.keep_audio = False  # predictions hold reconstructed signals too

    def check_choice(self, key: str, known: tuple[str, ...]) -> None:
        """Raise `InputError` where an option is none of the known words."""
        if getattr(self.options, key) not in known:
            raise InputError(
                f"methods.{self.name}.options.{key}: '{getattr(self.options, key)}', "
                f"expected one of {', '.join(known)}"
            )

    # ----------------------------------------------------------------- for subclasses

    @property
    def pretrained(self) -> bool:
        """Whether its training begins with the model of another entry."""
        return False

    @property
    def inputs_note(self) -> str:
        """`input_types` of this very model, for tables."""
        return self.input_types

    def begin_with(self, folder: str | Path) -> None:
        """Take what it needs from the model of another entry."""
        raise InputError(f"method '{self.name}' begins with no other model; got {folder}")

    def build(self, facts: Facts) -> nn.Module:
        """The untrained network."""
        raise TypeError(f"method '{self.name}' defines no build()")

    def normalise(self, audio: Tensor) -> Tensor:
        """Scale of the sound (B, C, N) before noise is added; NaN stays NaN."""
        from wavloc.methods.learned.networks.wav2pos import standardise

        return standardise(audio)

    def features(self, audio: Tensor) -> Batch:
        """Costly features of normalised sound (B, 1 + M, N), without a gradient; may be none."""
        return {}

    def inputs(self, batch: Batch) -> Batch:
        """What the network is given, from audio (B, 1 + M, N), mics (B, M, 3), `features` and, in
        training, the clean sound and the position of the source (B, 3); without a gradient.
        """
        raise TypeError(f"method '{self.name}' defines no inputs()")

    def loss(
        self, inputs: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Value to be minimised over a batch, and its named parts. generator: of masks; None in
        validation.
        """
        raise TypeError(f"method '{self.name}' defines no loss()")

    def answer(self, inputs: Batch) -> Batch:
        """``position`` (B, 3) metres; where defined ``mic_positions`` (B, M, 3), ``reliability``
        (B, M), ``positions`` (B, K, 3) and ``certainty`` (B, K), see `Predictions`; with
        `keep_audio` ``audio`` (B, M + 1, N), standardised.
        """
        raise TypeError(f"method '{self.name}' defines no answer()")

    def validate(self, inputs: Batch) -> dict[str, Tensor]:
        """Figures of one validation batch, each a mean over its frames; ``criterion`` decides."""
        error = (self.answer(inputs)["position"] - inputs["source"]).norm(dim=-1).clamp(max=3.0)
        loss, parts = self.loss(inputs, None)
        return {"criterion": error.mean(), "mae_m": error.mean(), "loss": loss, **parts}

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

    # ----------------------------------------------------------------- training

    @staticmethod
    def own_options(options: Mapping[str, Any]) -> dict[str, Any]:
        """Those that make the network what it is: not of the `Recipe`, nor of the array."""
        others = {field.name for field in dataclasses.fields(Recipe)} | {"max_lag"}
        return {key: value for key, value in options.items() if key not in others}

    def start_from(self, folder: str | Path) -> None:
        """Let the training begin at the weights of a model of this method with the same sizes.

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
        self.training_note["start"] = str(folder)

    def fit(self, train: Frames, valid: Frames, run: Any) -> None:
        """Train on ``train``; ``valid`` chooses the epoch that is kept. run: the training run."""
        self.prepare(train)
        if self.start:
            from wavloc.weights import load_into

            weights = self.start.network.state_dict()
            load_into(self.network, weights, f"{self.training_note['start']}, its network")
        run.train(self, train, valid)

    def prepare(self, train: Frames) -> None:
        """Facts from the training data and a network with seeded initial weights."""
        import torch

        from wavloc import seeds

        source = np.asarray(train.source_position, np.float64)
        if not np.isfinite(source).all():
            raise InputError("training needs the source position of every frame")
        spread = tuple(np.maximum(source.std(axis=0, ddof=1), 1e-3).tolist())
        self.facts = Facts(
            mics=train.n_mics,
            samples=FRAME_SAMPLES,
            sample_rate=train.sample_rate,
            speed_of_sound=train.speed_of_sound,
            max_lag=self.lag(train),
            centre=tuple(source.mean(axis=0).tolist()),
            # A network that has learned what a delay is in metres keeps its unit of length.
            spread=self.start.facts.spread if self.start else spread,
        )
        torch.manual_seed(int(seeds.sequence(self.seed, self.name, "init").generate_state(1)[0]))
        self.network = self.build(self.facts)

    def lag(self, train: Frames) -> int:
        """Largest lag in samples: the option, or what the training array allows."""
        chosen = int(getattr(self.options, "max_lag", 0))
        return chosen or max_lag(train.mic_positions, train.sample_rate, train.speed_of_sound)

    def shown(self, audio: Tensor) -> Tensor:
        """What the method may learn from of the signals (B, 1 + M, L); the source's is first."""
        return audio

    def tensors(self, frames: Frames) -> Batch:
        """Everything that training needs of frames: audio (F, 1 + M, L), mics, source."""
        import torch

        audio = np.concatenate([frames.source_audio[:, None], frames.audio], axis=1)
        return {
            "audio": torch.from_numpy(audio.astype(np.float32, copy=False)),
            "mics": torch.from_numpy(frames.mics().astype(np.float32)),
            "source": torch.from_numpy(np.array(frames.source_position, np.float32)),
        }

    @property
    def parameters(self) -> int:
        """Number of parameters of everything that the model holds."""
        return sum(value.numel() for part in self.parts().values() for value in part.parameters())

    def parts(self) -> dict[str, nn.Module]:
        """Networks that are saved, by name."""
        return {"network": self.network}

    def to(self, device: str | torch.device) -> LearnedMethod:
        """Move all networks."""
        for part in self.parts().values():
            part.to(device)
        return self

    @property
    def gpu(self) -> Any:
        if self.network is None:
            return None
        device = next(self.network.parameters()).device
        return device if device.type == "cuda" else None

    # ----------------------------------------------------------------- prediction

    def require_model(self) -> None:
        """Raise `InputError` where there is nothing to predict with."""
        if self.network is None:
            raise InputError(f"method '{self.name}' must be trained first; give --model FOLDER")

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        reason = super().refusal(frames, setup)
        if reason or self.facts is None:
            return reason
        heard = frames.n_mics
        if setup.subset is not None and setup.name.startswith("1"):
            heard = setup.subset.shape[1]
        if not self.variable_mics and heard != self.facts.mics:
            return f"{self.name} was trained for {self.facts.mics} microphones, got {heard}"
        if frames.sample_rate != self.facts.sample_rate:
            return (
                f"{self.name} was trained at {self.facts.sample_rate} Hz, "
                f"got {frames.sample_rate} Hz"
            )
        if frames.frame_samples != self.facts.samples:
            return (
                f"{self.name} was trained on {self.facts.samples} samples a frame, "
                f"got {frames.frame_samples}"
            )
        return None

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        import torch

        self.require_model()
        device = next(self.network.parameters()).device
        for part in self.parts().values():
            part.eval()
        found: dict[str, list[np.ndarray]] = {}
        with torch.inference_mode():
            for block in blocks(len(frames), self.options.predict_batch, self.name):
                batch = {
                    "audio": np.concatenate(
                        [frames.source_window(block)[:, None], frames.window(block)], axis=1
                    ),
                    "mics": frames.mics(block),
                }
                batch = {
                    name: torch.from_numpy(np.array(value, np.float32)).to(device)
                    for name, value in batch.items()
                }
                batch["audio"] = self.normalise(batch["audio"])
                batch |= self.features(batch["audio"])
                for name, value in self.answer(self.inputs(batch)).items():
                    found.setdefault(name, []).append(value.float().cpu().numpy())
        joined = {name: np.concatenate(parts) for name, parts in found.items()}
        position = joined.pop("position").astype(np.float64)
        status = np.where(np.isfinite(position).all(axis=1), "ok", "failed").astype(object)
        for name in ("mic_positions", "positions"):
            if name in joined:
                joined[name] = joined[name].astype(np.float64)
        return Predictions(position, status, **joined)

    # ----------------------------------------------------------------- model folders

    def save(self, folder: str | Path) -> None:
        """Weights (safetensors), and options, facts and what training noted (json)."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, network in self.parts().items()
            for name, value in network.state_dict().items()
        }
        with files.replacing(folder / "weights.safetensors") as temporary:
            save_file(weights, temporary)
        files.write_json(
            folder / "method.json",
            {
                "name": self.name,
                "module": self.trained_as or type(self).__module__.rpartition(".")[2],
                "options": dataclasses.asdict(self.options),
                "seed": self.seed,
                "facts": dataclasses.asdict(self.facts),
                "parts": self.sizes(),
                "parameters": self.parameters,
                "input_types": self.inputs_note,
                "training": self.training_note,
            },
        )

    @classmethod
    def load(cls, folder: str | Path) -> LearnedMethod:
        """Read what `save` wrote; anything that does not fit is an `InputError` that names it."""
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such model folder")
        stored = files.read_json(folder / "method.json")
        module = cls.trained_as or cls.__module__.rpartition(".")[2]
        try:
            if stored["module"] != module:
                raise InputError(
                    f"{folder}: a model of '{stored['module']}', expected one of '{module}'"
                )
            method = cls(stored["options"], stored["name"], stored["seed"])
            facts = stored["facts"]
            method.facts = Facts(**facts | {k: tuple(facts[k]) for k in ("centre", "spread")})
            method.training_note, sizes = stored["training"], stored["parts"]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / 'method.json'}: not a model description ({error})"
            ) from None
        from wavloc.weights import read_weights

        weights = read_weights(folder / "weights.safetensors")
        method.restore(weights, sizes, str(folder / "weights.safetensors"))
        return method

    def sizes(self) -> dict[str, Any]:
        """Sizes of parts that the options do not tell."""
        return {}

    def restore(self, weights: Mapping[str, Tensor], sizes: Mapping[str, Any], where: str) -> None:
        """Build all networks and fill them with weights ``<part>.<name>``."""
        from wavloc.weights import load_into

        self.network = self.build(self.facts)
        for part, network in self.parts().items():
            prefix = part + "."
            own = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
            load_into(network, own, where)
            network.eval()
        surplus = [key for key in weights if key.partition(".")[0] not in self.parts()]
        if surplus:
            raise InputError(f"{where}: unexpected weight '{surplus[0]}'")
