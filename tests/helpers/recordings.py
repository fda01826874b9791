"""Small simulated recordings, and the files of someone who made them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from wavloc import cli
from wavloc.simulation import image_source
from wavloc.simulation.rooms import DELAY, sabine

RATE, SPEED = 16000, 343.0
ROOM = np.array([6.0, 5.0, 2.7])
# Eight microphones at the walls of `ROOM`, at different heights.
MICS = np.array(
    [
        [0.2, 0.3, 1.1], [3.1, 0.1, 2.2], [5.8, 0.4, 0.9], [5.9, 2.6, 1.9],
        [5.7, 4.8, 1.2], [2.8, 4.9, 0.5], [0.3, 4.7, 2.0], [0.1, 2.4, 0.4],
    ]
)  # fmt: skip


def dry_sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Noise up to 7 kHz: (n,)."""
    rng = np.random.default_rng(seed)
    size = int(seconds * rate)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum[np.fft.rfftfreq(size, 1 / rate) > 7000] = 0
    return np.fft.irfft(spectrum, size)


def heard(
    dry: np.ndarray,
    mics: np.ndarray,
    source: np.ndarray,
    rate: int = RATE,
    speed: float = SPEED,
    t60_s: float = 0.0,
    room: np.ndarray = ROOM,
) -> np.ndarray:
    """Sound (n, M) of dry sound (n,) at a place, by image sources; t60_s = 0: a free field."""
    if t60_s == 0:
        room, mics, source = np.full(3, 800.0), mics + 400, np.asarray(source) + 400
    absorption, order = sabine(room, np.array([t60_s]), speed)
    geometry = (torch.tensor(mics)[None], torch.tensor(np.asarray(source, float))[None])
    response = image_source.impulse_responses(
        room, *geometry, torch.tensor(absorption), torch.tensor(order), rate, speed, rate // 2
    )[0].numpy()[:, DELAY:]
    size = len(dry) + response.shape[1]
    wet = np.fft.irfft(np.fft.rfft(response, size) * np.fft.rfft(dry, size), size)
    return (wet.T[: len(dry)] / np.abs(wet).max() / 2).astype(np.float32)


def write_mics(path: Path, mics: np.ndarray, names: list[str] | None = None) -> Path:
    """``name,x,y,z`` of microphones (M, 3)."""
    names = names or [f"m{k}" for k in range(len(mics))]
    rows = [f"{name},{x},{y},{z}" for name, (x, y, z) in zip(names, mics.tolist(), strict=True)]
    path.write_text("\n".join(["name,x,y,z", *rows]) + "\n", encoding="utf-8")
    return path


def write_sound(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    """Sound (n, M) as a WAV file of floats."""
    soundfile.write(path, sound, rate, subtype="FLOAT")
    return path


def write_sparse(
    path: Path, sound: np.ndarray, seconds: float, at_s: tuple[float, ...], rate: int = RATE
) -> Path:
    """A WAV file of 16 bits, silent but for sound (n, M) at some times; holes take no space."""
    step = 2 * sound.shape[1]
    size = round(seconds * rate) * step
    form = struct.pack("<IHHIIHH", 16, 1, sound.shape[1], rate, rate * step, step, 16)
    head = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form
    head += b"data" + struct.pack("<I", size)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
        for time_s in at_s:
            file.seek(len(head) + round(time_s * rate) * step)
            file.write((sound * 20_000).astype("<i2").tobytes())
    return path


def locate(folder: Path, *more: object, method: str = "srp_phat") -> pd.DataFrame:
    """The table that ``wavloc locate`` makes of mics.csv and r.wav in a folder.

    The recording is not checked: that takes longer than to locate in a second of sound.
    """
    given = ["--no-check", *(str(part) for part in more)]
    audio = [] if "--audio" in given else ["--audio", str(folder / "r.wav")]
    arguments = ["locate", "--method", method, "--mics", str(folder / "mics.csv"), *audio]
    out = folder / "positions.csv"
    code = cli.main([*arguments, "--out", str(out), *given])
    assert code == 0, f"exit code {code}"
    return pd.read_csv(out)


def errors_m(table: pd.DataFrame, source: np.ndarray) -> np.ndarray:
    """Errors (F,) of the located rows, metres."""
    found = table[table["x"].notna()]
    return np.linalg.norm(found[["x", "y", "z"]].to_numpy(float) - source, axis=1)
