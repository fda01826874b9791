"""Wall absorption for a nominal T60, and room impulse responses (RIRs) by pyroomacoustics.

pyroomacoustics is the reference engine. Easy to get wrong, handled here and tested: the constant
delay of half the fractional-delay filter, Sabine's bound, the 10 Hz high-pass, and the process-wide
settings for the speed of sound and the number of threads.
"""

import functools
import math
from types import ModuleType

import numpy as np

TAPS = 81  # of the fractional-delay filter
DELAY = TAPS // 2  # constant delay of every RIR of either engine, samples


@functools.cache
def _library(speed: float) -> ModuleType:
    """pyroomacoustics with the process-wide settings that this project needs."""
    import pyroomacoustics

    pyroomacoustics.constants.set("c", speed)
    pyroomacoustics.constants.set("frac_delay_length", TAPS)
    pyroomacoustics.constants.set("num_threads", 1)  # the workflow runs tracks in parallel instead
    # The high-pass acts on each truncated RIR and leaves artefacts up to 100 Hz. The dry sound is
    # high-passed instead, once for all microphones.
    pyroomacoustics.constants.set("rir_hpf_enable", False)
    return pyroomacoustics


def sabine(
    room: np.ndarray, t60_s: np.ndarray | float, speed: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wall absorption and image order for each nominal T60 (F,) in seconds, by Sabine's formula.

    A T60 below the bound at which absorption reaches 1 (0.105 s in 7 x 8 x 2 m) gives an anechoic
    room: absorption 1, order 0. Otherwise the order covers all images that arrive before T60.
    """
    room = np.asarray(room, float)
    volume = room.prod()
    surface = 2 * (room[0] * room[1] + room[0] * room[2] + room[1] * room[2])
    bound = 24 * math.log(10) * volume / (speed * surface)
    pairs = [(room[0], room[1]), (room[0], room[2]), (room[1], room[2])]
    shortest = min(a * b / math.hypot(a, b) for a, b in pairs)
    live = np.asarray(t60_s) > bound
    order = np.ceil(speed * np.asarray(t60_s) / shortest - 1).astype(int)
    return np.where(live, bound / np.where(live, t60_s, 1), 1.0), np.where(live, order, 0)


def decay_s(response: np.ndarray, sample_rate: int) -> float:
    """T60 of an impulse response (T,), from its decay between -5 and -25 dB (T20, ISO 3382-2) by
    backward integration (Schroeder 1965); 0 where there is no decay to be measured.
    """
    energy = np.cumsum(np.square(response[::-1], dtype=float))[::-1]
    level = 10 * np.log10(np.maximum(energy / max(energy[0], 1e-300), 1e-30))
    first, last = (int(np.argmax(level <= bound)) for bound in (-5, -25))
    if last - first < 2:
        return 0.0
    slope = np.polyfit(np.arange(first, last) / sample_rate, level[first:last], 1)[0]
    return float(-60 / slope)


def impulse_responses(
    room: np.ndarray,
    mics: np.ndarray,
    source: np.ndarray,
    absorption: np.ndarray,
    max_order: int,
    sample_rate: int,
    speed: float,
) -> np.ndarray:
    """RIRs (B, M, T) of B sources in one room, zero-padded to the longest, delayed by `DELAY`.

    mics (B, M, 3), source (B, 3) in metres, absorption (B,). The amplitude of an image is
    1 / distance times its reflection coefficients. Sources are simulated one by one.
    """
    library = _library(speed)
    ragged = []
    for array, position, energy in zip(mics, source, absorption, strict=True):
        shoebox = library.ShoeBox(
            room, fs=sample_rate, materials=library.Material(float(energy)), max_order=max_order
        )
        shoebox.add_source(position)
        shoebox.add_microphone(array.T)
        shoebox.compute_rir()
        ragged += [response[0] for response in shoebox.rir]
    responses = np.zeros((len(ragged), max(map(len, ragged))), np.float32)
    for row, response in zip(responses, ragged, strict=True):
        row[: len(response)] = response
    return responses.reshape(*mics.shape[:2], -1)
