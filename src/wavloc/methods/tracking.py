"""Positions along a track: what the candidates of successive frames say together.

A hidden Markov model whose states are the candidates of each frame, with a motion prior between
frames and a small chance of a jump (another talker, a frame without the source); the
forward-backward algorithm gives the posterior of each frame given all. What is left, positions a
few centimetres off and gaps, is smoothed by a Kalman filter run forth and back, which knows speeds.
"""

import dataclasses

import numpy as np
from scipy.special import logit

BORROWED = 2  # frames before and after whose best candidates a frame is given too ...
BEST = 3  # ... so many of each, since its own may all be wrong

# Chosen on tracks speech1 and music2 of the twin.
UNREST = 2.0  # m^2/s^3, spectral density of the acceleration
EXACT_M = 0.01  # standard deviation of a position that is sure
NEAR_M = 0.3  # candidates within this are of one place
FARTHEST_M, FASTEST = 30.0, 3.0  # standard deviations of what is not known at the begin, m and m/s

# Deviation along an axis of positions that are wrong; those of benchmarks/track_confidence.py.
WRONG_M = 0.9
# Of the confidence; fitted by benchmarks/track_confidence.py on tracks in random rooms.
AROUND_S = 1.0  # frames before and after that back a position
CALIBRATION = (0.207, 0.527, -0.366, -0.795)  # logits of posterior and backing, log of distance, 1


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
    std = np.hypot(motion.step_m, motion.speed * gap)
    jump = np.where(gap > motion.gap_s, 1.0, motion.jump)

    def step(frame: int) -> np.ndarray:
        """Chances (K', K') of going from the candidates of a frame to those of the next."""
        moved = candidates[frame + 1] - candidates[frame][:, None]
        chance = np.exp(-0.5 * np.square(moved).sum(-1) / std[frame] ** 2)
        other = jump[frame] * chance.mean(-1, keepdims=True).clip(1e-6)
        return (1 - jump[frame]) * chance + other

    forward, backward = np.empty_like(weight), np.ones_like(weight)
    forward[0] = weight[0]
    for frame in range(1, len(weight)):
        forward[frame] = _shares(weight[frame] * (forward[frame - 1] @ step(frame - 1)))
    for frame in range(len(weight) - 2, -1, -1):
        backward[frame] = _shares(step(frame) @ (weight[frame + 1] * backward[frame + 1]))
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


def grounds(
    within: np.ndarray,
    expected_m: np.ndarray,
    backing: np.ndarray,
    heard: np.ndarray,
    time_s: np.ndarray,
) -> np.ndarray:
    """What the confidence in positions along a track depends on, (F, 4), by `CALIBRATION`.

    within: (F,) posterior near the position given all frames, which counts each frame as a witness
    of its own, though an echo fools all frames at one place alike; expected_m: (F,) distance;
    backing: (F,) confidence of a frame alone if it is at that position too, else 0; heard: (F,)
    which frames have a source; time_s: (F,) in any order.
    """
    order = np.argsort(time_s, kind="stable")
    ordered = time_s[order]
    first = np.searchsorted(ordered, time_s - AROUND_S, "left")
    last = np.searchsorted(ordered, time_s + AROUND_S, "right")
    total = np.concatenate([[0.0], np.cumsum((backing * heard)[order])])
    number = np.concatenate([[0], np.cumsum(heard[order])])
    around = (total[last] - total[first]) / np.maximum(number[last] - number[first], 1)
    logits = logit(np.stack([within, around]).clip(1e-4, 1 - 1e-4))
    return np.column_stack([*logits, np.log(expected_m.clip(1e-3)), np.ones(len(within))])


def elsewhere(confidence: np.ndarray) -> np.ndarray:
    """Variance (F,) along an axis of positions with a confidence (F,) by the chance that the track
    is elsewhere.
    """
    return (1 - confidence) * WRONG_M**2


def noise(
    position: np.ndarray, candidates: np.ndarray, posterior: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """Covariance (F, 3, 3) of the error of positions (F, 3): how the candidates (F, K, 3) of one
    place are spread by their posterior (F, K), the more the less the confidence (F,) is.
    """
    away = candidates - position[:, None]
    near = posterior * (np.linalg.norm(away, axis=-1) < NEAR_M)
    spread = np.einsum("fk,fki,fkj->fij", near, away, away)
    spread /= near.sum(axis=1).clip(1e-6)[:, None, None]
    return (spread + EXACT_M**2 * np.eye(3)) / confidence.clip(0.02)[:, None, None] ** 2


def run(
    time_s: np.ndarray, position: np.ndarray, covariance: np.ndarray, unrest: float = UNREST
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position (F, 3), velocity (F, 3) and covariance (F, 3, 3) of the position along one track.

    time_s (F,), ascending; position (F, 3) metres as measured, NaN in gaps, with the covariance
    (F, 3, 3) of its error. A Kalman filter of nearly constant velocity and the smoother of Rauch,
    Tung and Striebel (1965); unrest: spectral density of the acceleration, m^2/s^3.
    """
    known = np.isfinite(position).all(axis=1)
    mean, spread = np.zeros((len(position), 6)), np.zeros((len(position), 6, 6))
    predicted, before = mean.copy(), spread.copy()
    eye, step = np.eye(3), np.eye(6)
    state = np.concatenate([position[known][0], np.zeros(3)])
    error = np.diag([FARTHEST_M**2] * 3 + [FASTEST**2] * 3)
    steps = []
    for k, gap in enumerate(np.diff(time_s, prepend=time_s[0])):
        step = np.block([[eye, gap * eye], [0 * eye, eye]])
        noise = np.array([[gap**3 / 3, gap**2 / 2], [gap**2 / 2, gap]]) * unrest
        steps.append(step)
        predicted[k], before[k] = step @ state, step @ error @ step.T + np.kron(noise, eye)
        state, error = predicted[k], before[k]
        if known[k]:
            gain = error[:, :3] @ np.linalg.inv(error[:3, :3] + covariance[k])
            state = state + gain @ (position[k] - state[:3])
            error = error - gain @ error[:3]
        mean[k], spread[k] = state, error
    for k in range(len(mean) - 2, -1, -1):
        gain = spread[k] @ steps[k + 1].T @ np.linalg.inv(before[k + 1])
        mean[k] += gain @ (mean[k + 1] - predicted[k + 1])
        spread[k] += gain @ (spread[k + 1] - before[k + 1]) @ gain.T
    return mean[:, :3], mean[:, 3:], spread[:, :3, :3]
