"""The one method interface. A method is a file of ``classical`` or ``learned`` (or an entry point
``wavloc.methods`` of another package) with a class ``Method`` that derives from `Method`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from wavloc import files, meter
from wavloc.errors import Refusal
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions
from wavloc.plugins import make_options
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Options of a method that has none."""


class Method:
    """A localizer: takes sound and what the setup grants, and estimates positions.

    `Options` is a frozen dataclass of everything that can be tuned, with published defaults.
    """

    label: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    input_types: ClassVar[str] = "raw audio"
    learned: ClassVar[bool] = False
    permutation_invariant: ClassVar[bool] = True
    variable_mics: ClassVar[bool] = True
    control: ClassVar[bool] = False  # a floor or ceiling, never the best method of a table
    needs_truth: ClassVar[bool] = False  # a control that sees the true position
    min_mics: ClassVar[int] = 5  # microphones with a signal and a known position
    setups: ClassVar[tuple[str, ...]] = ("1a", "1b", "2a", "2b")
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

    @property
    def gpu(self) -> Any:
        """The torch CUDA device it computes on; None for the processor."""
        return None

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        """Why this method cannot treat such frames at all, or None. Shown as a footnote."""
        if setup.name not in self.setups:
            return f"{self.name} is not defined for setup {setup.name}"
        known = frames.n_mics if setup.subset is None else setup.subset.shape[1]
        if known < self.min_mics:
            return f"{self.name} needs at least {self.min_mics} microphones, got {known}"
        return None

    def refused(self, frames: Frames, setup: Setup, reason: str) -> Predictions:
        """Predictions of a method that refuses: no positions, the reason in the meta data."""
        meta = {
            "method": self.name,
            "control": self.control,
            "setup": setup.name,
            "refused": reason,
        }
        status = np.full(len(frames), "refused", dtype=object)
        return Predictions(np.full((len(frames), 3), np.nan), status, meta=meta)

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        """Positions in frames from which `Setup.apply` has removed what must stay unknown."""
        raise TypeError(f"method '{self.name}' defines no estimate()")

    def predict(self, frames: Frames, setup: Setup | None = None) -> Predictions:
        """Hide what ``setup`` does not grant, locate the source in every frame, and time it.

        Raises `Refusal` where the method refuses such frames altogether.
        """
        setup = setup or Setup()
        reason = self.refusal(frames, setup)
        if reason:
            raise Refusal(reason)
        granted = setup.apply(frames, reveal_truth=self.needs_truth)
        spent = meter.Meter(self.gpu)
        predictions = self.estimate(granted, setup)
        cost = spent.read()
        predictions.seconds_per_frame = cost.pop("seconds") / max(len(frames), 1)
        predictions.meta |= {
            "method": self.name,
            "cost": cost,
            "control": self.control,
            "options": dataclasses.asdict(self.options),
            "seed": self.seed,
            "setup": setup.name,
        }
        return predictions

    def in_blocks(
        self, frames: Frames, size: int, solve: Callable[[slice], tuple[np.ndarray, ...]]
    ) -> Predictions:
        """Run ``solve(slice)`` over blocks with a progress bar. It returns position (B, 3), status
        (B,) and, where the method knows it, covariance (B, 3, 3).
        """
        predictions = Predictions(
            np.full((len(frames), 3), np.nan), np.full(len(frames), "ok", dtype=object)
        )
        for block in blocks(len(frames), size, self.name):
            predictions.position[block], predictions.status[block], *covariance = solve(block)
            if covariance:
                if predictions.covariance is None:
                    predictions.covariance = np.full((len(frames), 3, 3), np.nan)
                predictions.covariance[block] = covariance[0]
        return predictions

    def save(self, folder: str | Path) -> None:
        """Write all that is needed to use the method; learned methods add their weights."""
        files.write_json(
            Path(folder) / "method.json",
            {"name": self.name, "options": dataclasses.asdict(self.options), "seed": self.seed},
        )

    @classmethod
    def load(cls, folder: str | Path, options: Mapping[str, Any] | None = None) -> Method:
        """Read what `save` wrote. options: those that a model folder of another method lacks."""
        stored = files.read_json(Path(folder) / "method.json")
        return cls(stored["options"], stored["name"], stored["seed"])


def blocks(count: int, size: int, name: str) -> Iterator[slice]:
    """Slices of at most ``size`` frames, with a named progress bar on a terminal."""
    with tqdm(total=count, desc=name, unit="frame", disable=None, leave=False) as bar:
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield slice(start, stop)
            bar.update(stop - start)
