"""The one method interface. A method is a file of ``classical`` or ``learned`` (or an entry point
``wavloc.methods`` of another package) with a class ``Method`` that derives from `Method`.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from wavloc import files, meter
from wavloc.errors import InputError, Refusal
from wavloc.frames import NO_SOUND, Frames, blocks
from wavloc.geometry import unusable
from wavloc.methods.predictions import Predictions
from wavloc.plugins import make_options
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Options of a method that has none."""


class Method:
    """A localizer; `Options` is a frozen dataclass of all that can be tuned, as published."""

    needs_truth: ClassVar[bool] = False  # a control that sees the true position
    min_mics: ClassVar[int] = 5  # microphones with a signal and a known position
    any_array: ClassVar[bool] = False  # answers whatever the geometry of the microphones
    searches: bool = False  # looks for the source in the room, which may be a plane
    setups: ClassVar[tuple[str, ...]] = ("1a", "1b", "2a", "2b")
    from_delays: bool = False  # needs no sound where there are arrival times; said by its entry
    Options: ClassVar[type] = NoOptions

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        name: str = "",
        seed: int = 0,
        seed_name: str = "",
    ):
        """seed_name: enters every seed in place of the name."""
        self.name = name or type(self).__module__.rpartition(".")[2]
        self.options: Any = make_options(type(self), options or {}, f"methods.{self.name}")
        self.seed = seed
        self.seed_name = seed_name or self.name
        self.set_up()

    def set_up(self) -> None:
        """Check the options; the last step of ``__init__``."""

    def option_error(self, key: str, expected: str) -> InputError:
        """The error that names an option, its value and what was expected."""
        value = getattr(self.options, key)
        given = f"'{value}'" if isinstance(value, str) else value
        return InputError(f"methods.{self.name}.options.{key}: {given}, expected {expected}")

    def check_choice(self, key: str, known: Sequence[str]) -> None:
        """Raise `InputError` where an option is none of the known words."""
        if getattr(self.options, key) not in known:
            raise self.option_error(key, f"one of {', '.join(known)}")

    def with_options(self, **changes: Any) -> Self:
        """The same method with other options."""
        other = copy.copy(self)
        other.options = dataclasses.replace(self.options, **changes)
        return other

    @property
    def gpu(self) -> Any:
        """The torch CUDA device it computes on; None for the processor."""
        return None

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        """Why this method cannot treat such frames at all, or None. Shown as a footnote."""
        if setup.name not in self.setups:
            return f"{self.name} is not defined for setup {setup.name}"
        if not (frames.has_sound or self.from_delays):
            return f"{self.name} {NO_SOUND}"
        known = frames.n_mics if setup.subset is None else setup.subset.shape[1]
        fewest = min(3, self.min_mics) if self.searches and frames.in_plane else self.min_mics
        if known < fewest:
            return f"{self.name} needs at least {fewest} microphones, got {known}"
        if setup.source_known and np.isnan(frames.source_audio[:, :1]).all():
            return f"setup {setup.name} grants the source audio, but there is no source audio"
        if self.needs_truth and np.isnan(frames.source_position).all():
            return f"{self.name} needs the true positions, which these frames do not have"
        if self.any_array:
            return None
        mics = setup.known_mics(frames)
        known = int(np.isfinite(mics).all(axis=-1).sum(axis=1).max())
        if known < fewest:
            return f"{self.name} needs at least {fewest} known positions, got {known}"
        reasons = unusable(mics, self.searches and frames.in_plane)
        return f"{self.name}: {reasons[0]}" if (reasons != "").all() else None

    def refused(self, frames: Frames, setup: Setup, reason: str) -> Predictions:
        """Predictions of a method that refuses: no positions, the reason in the meta data."""
        return Predictions.refused(len(frames), reason, {"method": self.name, "setup": setup.name})

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        """Positions in frames from which `Setup.apply` has removed what must stay unknown."""
        raise TypeError(f"method '{self.name}' defines no estimate()")

    def predict(self, frames: Frames, setup: Setup | None = None) -> Predictions:
        """Hide what ``setup`` does not grant, locate the source in every frame, and time it; a
        `Refusal` where the method refuses such frames altogether.
        """
        setup = setup or Setup()
        reason = self.refusal(frames, setup)
        if reason:
            raise Refusal(reason)
        granted = setup.apply(frames, reveal_truth=self.needs_truth)
        spent = meter.Meter(self.gpu)
        predictions = self.estimate(granted, setup)
        cost = spent.read()
        self._fail_unusable(predictions, frames, setup)
        predictions.frame, predictions.time_s = _names(frames)
        predictions.seconds_per_frame = cost.pop("seconds") / max(len(frames), 1)
        predictions.meta |= {
            "method": self.name,
            "cost": cost,
            "options": dataclasses.asdict(self.options),
            "seed": self.seed,
            "setup": setup.name,
        }
        return predictions

    def _fail_unusable(self, found: Predictions, frames: Frames, setup: Setup) -> None:
        """Take back the positions of frames in which the array allows none."""
        if not self.any_array:
            mics = setup.known_mics(frames)
            lost = unusable(mics, self.searches and frames.in_plane) != ""
            lost = np.broadcast_to(lost, len(frames))
            found.position[lost], found.status[lost] = np.nan, "unusable_array"

    def in_blocks(
        self, frames: Frames, size: int, solve: Callable[[slice], tuple[np.ndarray, ...]]
    ) -> Predictions:
        """Run ``solve(slice)`` over blocks with a progress bar. It returns position (B, 3), status
        (B,) and, where the method knows them, covariance (B, 3, 3) and confidence (B,).
        """
        predictions = Predictions(
            np.full((len(frames), 3), np.nan), np.full(len(frames), "ok", dtype=object)
        )
        for block in blocks(len(frames), size, self.name):
            predictions.position[block], predictions.status[block], *more = solve(block)
            for name, values in zip(("covariance", "confidence"), more, strict=False):
                if getattr(predictions, name) is None:
                    setattr(predictions, name, np.full((len(frames), *values.shape[1:]), np.nan))
                getattr(predictions, name)[block] = values
        return predictions

    def save(self, folder: str | Path) -> None:
        """Write all that is needed to use the method; learned methods add their weights."""
        files.write_json(
            Path(folder) / "method.json",
            {"name": self.name, "options": dataclasses.asdict(self.options), "seed": self.seed},
        )

    @classmethod
    def load(cls, folder: str | Path, options: Mapping[str, Any] | None = None) -> Self:
        """Read what `save` wrote. options: those that a model folder of another method lacks."""
        stored = files.read_json(Path(folder) / "method.json")
        return cls(stored["options"], stored["name"], stored["seed"])


def _names(frames: Frames) -> list[np.ndarray | None]:
    """Columns ``frame`` and ``time_s`` (F,) of the frames' table; None for one it has not."""
    table = frames.table
    return [table[name].to_numpy() if name in table else None for name in ("frame", "time_s")]
