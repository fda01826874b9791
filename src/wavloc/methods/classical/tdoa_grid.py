"""TDOA map: a grid scored by how many delays point to each cell, then robust refinement.

No randomness: the starting points of `multilat_plus` without its RANSAC draws.
"""

import dataclasses
import functools

from wavloc.methods.classical.delay_method import DelayMethod, DelayOptions, Solution, solve_delays
from wavloc.methods.classical.solvers import modes, tdoa_map
from wavloc.methods.classical.solvers.problem import Problem


@dataclasses.dataclass(frozen=True)
class Options(DelayOptions):
    """As in `multilat_plus`."""

    peaks: int = 4
    starts: int = 10
    spacing_m: float = 0.25
    kernel_m: float = 0.25
    finalists: int = 8
    rank_priors: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)


def locate(problem: Problem, options: Options, seed: int) -> Solution:
    """The most probable of the modes around the best cells."""
    cells = tdoa_map.starts(problem, options.spacing_m, options.kernel_m, options.starts)
    points = modes.refine_starts(problem, cells, options.inlier_m)
    return modes.best_mode(
        problem, points, options.inlier_m, options.finalists, options.rank_priors
    )


solve = functools.partial(solve_delays, locate, Options())


class Method(DelayMethod):
    """GCC-PHAT peaks; grid through an integer lag table; least squares on probable inliers."""

    Options = Options
    searches = True
    locate = staticmethod(locate)
