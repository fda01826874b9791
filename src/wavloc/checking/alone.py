"""What each channel of a recording shows on its own: level, floor, offset, clipping, hum."""

import numpy as np

BLOCK_S = 0.05  # level and floor are those of blocks of this length
FLOOR_PERCENT = 10  # the noise floor is the power that so many blocks stay under
LOWEST_DB = -150.0  # shown for digital silence
FLAT = 1e-3  # samples this near to the largest one, as a share of it, are at the limit ...
BELOW = 0.1  # ... and are compared with those this near
FEWEST_FLAT = 10
FEWEST_VALUES = 32  # distinct ones in the upper half; coarser steps look like clipping
MAINS_HZ = (50.0, 60.0)
HARMONICS = np.arange(1, 7)
HUM_WINDOW_S = 2.0
MOST_HUM_WINDOWS = 64
LINE_DB, LONE_LINE_DB = 10.0, 20.0  # two lines stand out by the former, or one by the latter
STEADY_DB = 6.0  # a line is that much weaker in few windows; notes of music come and go


def decibel(power: np.ndarray | float) -> np.ndarray:
    """10 lg of a power, `LOWEST_DB` at least."""
    return 10 * np.log10(np.maximum(power, 10 ** (LOWEST_DB / 10)))


def levels(channels: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Level, noise floor and largest sample of channels (M, n) in dB re full scale, and their
    constant offset as a share of full scale: (M,) each.

    Level and floor are without the offset, which is the median of the means of blocks: neither
    speech nor rumble moves it.
    """
    size = min(max(1, round(BLOCK_S * rate)), channels.shape[1])
    blocks = channels[:, : channels.shape[1] // size * size].reshape(len(channels), -1, size)
    mean = blocks.mean(axis=-1, dtype=np.float64)
    square = np.einsum("mbs,mbs->mb", blocks, blocks, dtype=np.float64) / size
    offset = np.median(mean, axis=1)
    power = np.maximum(square - 2 * offset[:, None] * mean + offset[:, None] ** 2, 0)
    sounding = np.where(power > 0, power, np.nan)
    floor = np.zeros(len(channels))
    some = (power > 0).any(axis=1)
    floor[some] = np.nanpercentile(sounding[some], FLOOR_PERCENT, axis=1)
    return {
        "level_db": decibel(power.mean(axis=1)),
        "floor_db": decibel(floor),
        "peak_db": decibel(np.square(np.abs(channels).max(axis=1).astype(float))),
        "dc": offset,
    }


def clipped_shares(channels: np.ndarray) -> np.ndarray:
    """Share (M,) of samples at the limit of each channel (M, n), 0 where none is clipped.

    Sound becomes rarer towards its largest value; clipping piles it up there.
    """
    return np.array([_clipped_share(channel - np.median(channel)) for channel in channels])


def _clipped_share(channel: np.ndarray) -> float:
    found = 0
    for side in (channel, -channel):
        top = side.max()
        high = side[side > 0.5 * top]
        flat = int((high >= (1 - FLAT) * top).sum())
        below = int((high >= (1 - BELOW) * top).sum()) - flat
        piled = flat >= FEWEST_FLAT and 2 * flat > below
        if piled and len(np.unique(high)) >= FEWEST_VALUES:
            found += flat
    return found / len(channel)


def hum(channels: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Mains frequency (M,) in Hz, NaN without hum, and its power (M,) with harmonics, dB re full
    scale.

    channels: (M, n). Hum is what stands out as lines in the steady part of the sound: the lower
    quartile of the spectra of windows of two seconds.
    """
    size = round(HUM_WINDOW_S * rate)
    starts = np.arange(0, channels.shape[1] - size + 1, size // 4)
    if len(starts) < 3:
        return np.full(len(channels), np.nan), np.full(len(channels), LOWEST_DB)
    if len(starts) > MOST_HUM_WINDOWS:
        starts = starts[np.linspace(0, len(starts) - 1, MOST_HUM_WINDOWS).astype(int)]
    taper = np.hanning(size + 1)[:-1].astype(np.float32)
    last = int(MAINS_HZ[-1] * (HARMONICS[-1] + 1) * HUM_WINDOW_S)
    spectra = np.stack(
        [np.abs(np.fft.rfft(channels[:, k : k + size] * taper)[:, :last]) ** 2 for k in starts]
    )
    weak, steady = np.percentile(spectra, [5, 25], axis=0)  # (M, F) each
    # One-sided; a sine of power p has p sum(w^2) n / 2 in the bins of its line.
    unit = 2 / (size * np.square(taper).sum())
    # Of each: ratio in dB, power.
    lines = [_lines(unit * weak, unit * steady, mains) for mains in MAINS_HZ]
    strength = np.stack([np.sort(ratio, axis=1)[:, -2:].sum(axis=1) for ratio, _ in lines])
    found = np.stack(
        [
            ((ratio > LINE_DB).sum(axis=1) >= 2) | (ratio.max(axis=1) > LONE_LINE_DB)
            for ratio, _ in lines
        ]
    )
    which = np.where(found, strength, -np.inf).argmax(axis=0)
    power = np.stack([(power * (ratio > LINE_DB)).sum(axis=1) for ratio, power in lines])
    each = np.arange(len(channels))
    mains = np.where(found.any(axis=0), np.array(MAINS_HZ)[which], np.nan)
    return mains, np.where(found.any(axis=0), decibel(power[which, each]), LOWEST_DB)


def _lines(weak: np.ndarray, steady: np.ndarray, mains: float) -> tuple[np.ndarray, np.ndarray]:
    """How far harmonics of a mains frequency stand out of their neighbourhood, in dB, and their
    power: (M, K) each, of power spectra (M, F) in bins of 1 / `HUM_WINDOW_S`, those of the weakest
    windows and steady ones. What the former lack is no line: 0 dB.
    """
    hertz = np.arange(steady.shape[1]) / HUM_WINDOW_S
    ratios, powers = [], []
    for harmonic in mains * HARMONICS:
        away = np.abs(hertz - harmonic)
        width = 1.0 + 0.004 * harmonic  # the window's line, and mains that are 0.4 % off
        line, around = away <= width, (away > width + 1.5) & (away <= width + 9)
        floor = np.median(steady[:, around], axis=1) * line.sum() + 1e-30
        power = steady[:, line].sum(axis=1)
        ratio = 10 * np.log10(np.maximum(power, 1e-30) / floor)
        stays = weak[:, line].sum(axis=1) > 10 ** (-STEADY_DB / 10) * power
        ratios.append(np.where(stays, ratio, 0.0))
        powers.append(power)
    return np.stack(ratios, axis=1), np.stack(powers, axis=1)
