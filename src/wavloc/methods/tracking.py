"""Positions along a track: what the candidates of successive frames say together.

A hidden Markov model whose states are the candidates of each frame, with a motion prior between
frames and a small chance of a jump (another talker, a frame without the source); the
forward-backward algorithm gives the posterior of each frame given all.
"""

import dataclasses

import numpy as np

BORROWED = 2  # frames before and after whose best candidates a frame is given too ...
BEST = 3  # ... so many of each, since its own may all be wrong


@dataclasses.dataclass(frozen=True)
class Motion:
    """How a source moves."""

    speed: float = 1.0  # m/s, standard deviation
    step_m: float = 0.05  # that is always possible: steps of the candidates, a turning head
    jump: float = 0.02  # probability that a frame says nothing of the next
    borrowed: float = 0.01  # weight of candidates of other frames
    gap_s: float = 2.0  # longer gaps part tracks


def smooth(
    candidates: np.ndarray,
    posterior: np.ndarray,
    time_s: np.ndarray,
    motion: Motion = Motion(),  # frozen
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (F, K', 3) with their posterior (F, K') given all frames of a track.

    candidates (F, K, 3) metres with the posterior (F, K) of each frame alone; time_s (F,),
    ascending. The first K of K' are the frame's own.
    """
    candidates, weight = _borrow(candidates.astype(float), posterior.astype(float), motion.borrowed)
    if len(candidates) < 2:
        return candidates, weight
    gap = np.diff(time_s)
    moved = candidates[1:, None] - candidates[:-1, :, None]  # (F - 1, K', K', 3)
    std = np.hypot(motion.step_m, motion.speed * gap)[:, None, None]
    step = np.exp(-0.5 * np.square(moved).sum(-1) / std**2)
    jump = np.where(gap > motion.gap_s, 1.0, motion.jump)[:, None, None]
    step = (1 - jump) * step + jump * step.mean(-1, keepdims=True).clip(1e-6)
    forward, backward = np.empty_like(weight), np.ones_like(weight)
    forward[0] = weight[0]
    for frame in range(1, len(weight)):
        forward[frame] = _shares(weight[frame] * (forward[frame - 1] @ step[frame - 1]))
    for frame in range(len(weight) - 2, -1, -1):
        backward[frame] = _shares(step[frame] @ (weight[frame + 1] * backward[frame + 1]))
    both = forward * backward
    return candidates, both / both.sum(axis=1, keepdims=True)


def _shares(value: np.ndarray) -> np.ndarray:
    return value / value.sum()


def _borrow(
    candidates: np.ndarray, posterior: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates and weights, completed by the best ones of the frames around."""
    best = np.argsort(-posterior, axis=1, kind="stable")[:, :BEST]
    chosen = np.take_along_axis(candidates, best[..., None], 1)
    shares = np.take_along_axis(posterior, best, 1) * weight
    more, more_weight = [candidates], [posterior / posterior.sum(axis=1, keepdims=True)]
    frames = np.arange(len(candidates))
    for shift in (*range(-BORROWED, 0), *range(1, BORROWED + 1)):
        source = frames + shift
        inside = (source >= 0) & (source < len(frames))
        source = source.clip(0, len(frames) - 1)
        more.append(chosen[source])
        more_weight.append(shares[source] * inside[:, None])
    return np.concatenate(more, axis=1), np.concatenate(more_weight, axis=1)
