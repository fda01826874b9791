"""Which frames hold sound in the band that the method uses: hum and rumble are no sound."""

import numpy as np

from wavloc.audio import SAMPLE_RATE

BAND_HZ = (100.0, 7500.0)  # of methods that state none


def band_of(options: object) -> tuple[float, float]:
    """Lowest and highest frequency that a method with such options uses, Hz."""
    low, high = (
        getattr(options, key, hz) for key, hz in zip(("low_hz", "high_hz"), BAND_HZ, strict=True)
    )
    return float(low), float(high)


def filtered(sound: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Sound (M, n) without what is outside of a band in Hz."""
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(sound.shape[-1], 1 / SAMPLE_RATE)
    spectrum[:, (frequency < band[0]) | (frequency > band[1])] = 0
    return np.fft.irfft(spectrum, sound.shape[-1]).astype(np.float32)


def power(sound: np.ndarray, band: tuple[float, float]) -> float:
    """Mean power of a frame (M, n) within a band in Hz."""
    size = sound.shape[-1]
    spectrum = np.fft.rfft((sound - sound.mean(axis=-1, keepdims=True)) * np.hanning(size))
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    inside = (frequency >= band[0]) & (frequency <= band[1])
    return float(np.square(np.abs(spectrum[:, inside])).sum(axis=-1).mean() / size**2)
