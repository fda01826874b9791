"""Several sources at once: sums of simulated frames whose sources are in different places.

Each added frame, with its noise and reverberation, is scaled to the level of the first, averaged
over the microphones. `Frames.source_position` is the position of the first source; the table of the
frames holds those of the others, in the columns ``x_2``, ``y_2``, ``z_2`` and so on.
"""

from dataclasses import replace

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import NO_SOUND, Frames, require_compatible

KIND = "sources"  # kind of a derived track: speech3@sources-2
DRAWS = 32  # candidates drawn for each added source of a frame
AXES = "xyz"


def mixed(
    frames: Frames,
    partners: Frames,
    counts: np.ndarray,
    seed: int = 0,
    name: str = "",
    apart_m: float = 0.5,
) -> Frames:
    """Frames with counts (F,) >= 1 sources each; the added ones come from ``partners``.

    An added source is drawn at a distance of at least ``apart_m`` metres from the others; if no
    candidate is that far away, the farthest is taken. All frames must share one array of
    microphones. name: of the frames, enters the seed. `Frames.source_audio` is NaN where a frame
    has several sources.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(frames),):
        raise InputError(f"sources of {counts.size} frames, expected those of {len(frames)}")
    if (counts < 1).any():
        raise InputError(f"sources: {counts.min()} in a frame, expected at least 1 in each")
    if not frames.has_sound:
        raise InputError(f"a mixture of sources {NO_SOUND}")
    arrays = (frames.mic_positions, partners.mic_positions)
    if arrays[0].ndim != 2 or not np.array_equal(*arrays):
        raise InputError("mixtures of sources need one array of microphones in all frames")
    if frames.audio.shape[1:] != partners.audio.shape[1:]:
        raise InputError(
            f"partners have signals of shape {partners.audio.shape[1:]}, expected "
            f"{frames.audio.shape[1:]} as the frames"
        )
    require_compatible([frames, partners])
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
        index = np.flatnonzero(counts > k)
        places[index, k] = partners.source_position[chosen[index]]
        added = np.asarray(partners.audio[chosen[index]])
        audio[index] += added * (level[index] / np.maximum(_level(added), 1e-12))[:, None, None]
    columns = {
        f"{axis}_{k + 1}": places[:, k, a] for k in range(1, most) for a, axis in enumerate(AXES)
    }
    source_audio = np.array(frames.source_audio)
    source_audio[counts > 1] = np.nan
    return replace(
        frames,
        audio=audio,
        source_audio=source_audio,
        table=frames.table.assign(sources=counts, **columns),
        meta=frames.place | {"sources": most},
    )


def _level(audio: np.ndarray) -> np.ndarray:
    """RMS over the microphones with sound and time of each frame: (F, M, L) -> (F,)."""
    power = np.nanmean(np.square(audio, dtype=np.float64), axis=(1, 2))
    return np.sqrt(power).astype(np.float32)


def positions(frames: Frames) -> np.ndarray:
    """Positions (F, K, 3) of all sources in metres; NaN where a frame has fewer than K."""
    places, k = [np.asarray(frames.source_position, np.float64)], 2
    while f"x_{k}" in frames.table:
        places.append(frames.table[[f"{axis}_{k}" for axis in AXES]].to_numpy(np.float64))
        k += 1
    return np.stack(places, axis=1)
