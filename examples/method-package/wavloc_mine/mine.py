"""The mean of the microphones, weighted by how loud each one is. Write your own idea here."""

from dataclasses import dataclass

import numpy as np

from wavloc.methods.base import Method as Base


@dataclass(frozen=True)
class Options:
    """Every number that can be tuned, with its default."""

    exponent: float = 1.0


class Method(Base):
    """Frames in, a position for each out; NaN is a failure, and the status says why."""

    Options = Options

    def estimate(self, frames, setup):
        """What setup does not grant is already NaN in frames."""

        def solve(block):
            sound, mics = frames.window(block), frames.mics(block)  # (B, M, N), (B, M, 3) metres
            power = np.square(sound).mean(axis=2)
            known = np.isfinite(power) & np.isfinite(mics).all(axis=2)
            weight = np.where(known, power, 0.0)[..., None] ** self.options.exponent
            total = weight.sum(axis=1)
            heard = np.where(total > 0, total, np.nan)
            position = (weight * np.nan_to_num(mics)).sum(axis=1) / heard
            return position, np.where(total[:, 0] > 0, "ok", "silent")

        return self.in_blocks(frames, 64, solve)
