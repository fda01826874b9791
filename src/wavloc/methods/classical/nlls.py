"""Nonlinear least squares on the strongest delay of each pair: soft-L1, then Cauchy (IRLS)."""

import dataclasses
import functools

from wavloc.methods.classical.solvers import delay_method
from wavloc.methods.classical.solvers.delay_method import DelayMethod, DelayOptions, Solution
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.classical.solvers.refine import cauchy, refine, soft_l1


@dataclasses.dataclass(frozen=True)
class Options(DelayOptions):
    """Robust up to about 40 % wrong delays; fails beyond."""

    soft_m: float = 0.3  # scale of the soft-L1 loss
    cauchy_m: float = 0.05  # of the Cauchy loss
    steps: int = 15  # of each loss


def locate(problem: Problem, options: Options, seed: int) -> Solution:
    """Robust least squares from the centroid of the known microphones."""
    problem = problem.strongest()
    losses = [soft_l1(options.soft_m)] * options.steps + [cauchy(options.cauchy_m)] * options.steps
    position = refine(problem, problem.centroid, losses)[:, 0]
    return position, *status_and_covariance(problem, position, options.inlier_m)


solve = functools.partial(delay_method.solve_delays, locate, Options())


class Method(DelayMethod):
    """GCC-PHAT, one peak per pair; robust least squares from the centroid."""

    Options = Options
    locate = staticmethod(locate)
