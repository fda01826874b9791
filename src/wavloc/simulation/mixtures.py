"""Several sources at once: sums of rendered frames whose sources are in different places.

Each added frame is made as loud as the first one, on average over the microphones; its noise and
its reverberation come along. Positions of further sources stand in the table of the frames, in the
columns ``x_2``, ``y_2``, ``z_2`` and so on; the first is the frames' own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import Frames, require_alike

KIND = "sources"  # of a derived track, as in speech3@sources-2
DRAWS = 32  # frames that are considered as partner of one frame
AXES = "xyz"


def mixed(
    frames: Frames,
    partners: Frames,
    counts: np.ndarray,
    seed: int = 0,
    name: str = "",
    apart_m: float = 0.5,
) -> Frames:
    """Frames in which counts (F,) >= 1 sources sound at once; the others are of ``partners``.

    Partners are drawn among those whose sources are at least ``apart_m`` from each other where
    there are such. The array must be the same in all frames. name: of the frames, enters the seed.
    The signal of a source is unknown (NaN) where there are several.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(frames),):
        raise InputError(f"sources of {counts.size} frames, expected those of {len(frames)}")
    if (counts < 1).any():
        raise InputError(f"sources: {counts.min()} in a frame, expected at least 1 in each")
    arrays = (frames.mic_positions, partners.mic_positions)
    if arrays[0].ndim != 2 or not np.array_equal(*arrays):
        raise InputError("mixtures of sources need one array of microphones in all frames")
    if frames.audio.shape[1:] != partners.audio.shape[1:]:
        raise InputError(
            f"partners have signals of shape {partners.audio.shape[1:]}, expected "
            f"{frames.audio.shape[1:]} as the frames"
        )
    require_alike([frames, partners])
    rng = seeds.rng(seed, "mixture", name)
    most = int(counts.max())
    audio = np.array(frames.audio)
    level = _level(audio)
    places = np.full((len(frames), most, 3), np.nan)
    places[:, 0] = frames.source_position
    for k in range(1, most):
        drawn = rng.integers(len(partners), size=(len(frames), DRAWS))
        offset = partners.source_position[drawn][:, :, None] - places[:, None, :k]
        nearest = np.linalg.norm(offset, axis=-1).min(axis=-1)  # (F, DRAWS)
        nearest = np.minimum(nearest, apart_m)
        chosen = np.take_along_axis(drawn, nearest.argmax(axis=1)[:, None], 1)[:, 0]
        row = np.flatnonzero(counts > k)
        places[row, k] = partners.source_position[chosen[row]]
        sound = np.asarray(partners.audio[chosen[row]])
        audio[row] += sound * (level[row] / np.maximum(_level(sound), 1e-12))[:, None, None]
    columns = {
        f"{axis}_{k + 1}": places[:, k, a] for k in range(1, most) for a, axis in enumerate(AXES)
    }
    own = np.array(frames.source_audio)
    own[counts > 1] = np.nan
    place = {key: frames.meta[key] for key in ("room", "origin") if key in frames.meta}
    return replace(
        frames,
        audio=audio,
        source_audio=own,
        table=frames.table.assign(sources=counts, **columns),
        meta=place | {"sources": most},
    )


def _level(audio: np.ndarray) -> np.ndarray:
    """Root of the mean power over microphones and time of each frame (F, M, L): (F,)."""
    return np.sqrt(np.square(audio, dtype=np.float64).mean(axis=(1, 2))).astype(np.float32)


def positions(frames: Frames) -> np.ndarray:
    """Positions of all sources (F, K, 3) in metres; NaN where a frame has fewer than K."""
    found, k = [np.asarray(frames.source_position, np.float64)], 2
    while f"x_{k}" in frames.table:
        found.append(frames.table[[f"{axis}_{k}" for axis in AXES]].to_numpy(np.float64))
        k += 1
    return np.stack(found, axis=1)
