"""LuViRA's trajectories of a robot (Yaman et al. 2024), which the wav2pos paper does not use.

The robot carries the loudspeaker at one height: on lines of a grid, and in other movements. Files
are as those of the takes of `luvira`, but the sound is cut to the movement and the raw motion
capture is not, so what is captured mostly begins before the sound.
"""

from wavloc.datasets import luvira
from wavloc.datasets.base import Split

# The publisher counts 75 lines with these 76 numbers; a take that is not there is named.
GRID = tuple(f"grid{number}" for number in range(101, 177))
RANDOM = (
    *("random_rect1", "random_rect2", "random_diag1", "random_diag2"),
    *("random_manual_people1", "random_manual_people2", "random_l", "random_u"),
    *("random_manual3", "random_manual4", "random_manual5"),
    *("random_circle1", "random_circle2", "random_manual_people6"),
)


class Dataset(luvira.Dataset):
    """The recorded trajectories; there is no simulated extension of them."""

    label = "LuViRA, robot"
    reference = "Yaman et al. 2024 (grid and random trajectories)"
    Options = luvira.Options

    def takes(self) -> list[str]:
        return [*GRID, *RANDOM]

    def tracks(self) -> list[str]:
        return self.takes()

    def splits(self) -> dict[str, Split]:
        """One split: learn on the grid, locate in the other movements."""
        return {"random": Split(GRID, RANDOM)}
