"""Rendering scenes to frames: convolution, occlusion, noise, silence; resumed after a crash."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from wavloc import audio, files, frames, provenance, seeds
from wavloc.datasets.base import Scenes
from wavloc.errors import InputError
from wavloc.simulation import image_source, rooms

CHUNK = 64  # frames per stored chunk: the most that an interruption can lose
SHADOW_GAIN, SHADOW_HZ = 0.35, 1000.0  # attenuation and low-pass of a direct path behind a person


def render(
    scenes: Scenes,
    out: str | Path,
    seed: int,
    identity: object = None,
    engine: str = "phase_grid",
) -> None:
    """Simulate every frame of ``scenes`` and write the Frames folder ``out``.

    An interrupted run leaves its finished chunks beside ``out``; rendering the same scenes again
    resumes from them. identity: a JSON value that tells scenes apart. Equal seeds give equal bytes,
    with or without interruption. engine: see `render_frames`.
    """
    out = Path(out)
    mark = provenance.digest([identity, seed, engine, provenance.code_digest(__name__)])
    with files.lock(out.parent / f".{out.name}.lock"):
        partial = out.parent / f".{out.name}.partial-{mark}"
        for stale in sorted(out.parent.glob(f".{out.name}.partial-*")):
            if stale != partial:
                shutil.rmtree(stale)
        try:
            partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {partial}: {error.strerror or error}") from None
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the number of cores must not change the result by a bit
        try:
            chunks = _render_chunks(scenes, partial, out.name, engine)
        finally:
            torch.set_num_threads(threads)
        _assemble(scenes, chunks, partial / "audio.npy", seed, engine).save(out)
        shutil.rmtree(partial)


def _render_chunks(scenes: Scenes, folder: Path, name: str, engine: str) -> list[Path]:
    """Write noiseless audio in files of `CHUNK` frames (B, M, L); existing files are kept."""
    paths = []
    with tqdm(total=len(scenes), desc=f"simulate {name}", unit="frame", disable=None) as bar:
        for first in range(0, len(scenes), CHUNK):
            last = min(first + CHUNK, len(scenes))
            path = folder / f"{first:07d}.npy"
            paths.append(path)
            if not path.is_file():
                sound = render_frames(scenes, range(first, last), engine)
                with files.replacing(path) as temporary, temporary.open("wb") as handle:
                    np.save(handle, sound)
            bar.update(last - first)
    return paths


def render_frames(
    scenes: Scenes, index: Sequence[int] | np.ndarray, engine: str = "phase_grid"
) -> np.ndarray:
    """Noiseless microphone signals (B, M, L) of some frames; the source is fixed within a frame.

    engine: ``phase_grid``, or ``pyroomacoustics``, the reference. Frames of equal image order are
    rendered together, as many as memory allows.
    """
    rows = np.asarray(index)
    absorption, order = rooms.sabine(scenes.room, scenes.t60_s[rows], scenes.speed_of_sound)
    if scenes.max_order is not None:
        order = np.minimum(order, scenes.max_order)
    n_mics, constants = scenes.mics.shape[-2], (scenes.sample_rate, scenes.speed_of_sound)
    sound = np.empty((len(rows), n_mics, scenes.samples), np.float32)
    for group_order in np.unique(order).tolist():
        group = np.flatnonzero(order == group_order)
        most = image_source.largest_batch(scenes.room, n_mics, group_order, *constants)
        for first in range(0, len(group), most):
            part = group[first : first + most]
            sound[part] = _reverberant(scenes, rows[part], absorption[part], group_order, engine)
    return sound


def _reverberant(
    scenes: Scenes, rows: np.ndarray, absorption: np.ndarray, order: int, engine: str
) -> np.ndarray:
    """Audio (B, M, L) of frames of one image order.

    The dry sound before a frame is included as far back as the RIR reaches, so that the frame
    contains the reverberation of earlier speech. Sample n of the dry signal reaches a microphone
    at distance d exactly d fs / c samples later: the delay of the RIR is removed.
    """
    rir = _impulse_responses(scenes, rows, absorption, order, engine)
    if scenes.occluded is not None and scenes.occluded[rows].any():
        direct = _impulse_responses(scenes, rows, np.ones(len(rows)), 0, engine)
        rir = _shadow(rir, direct, scenes.occluded[rows], scenes.sample_rate)
    history = rir.shape[-1] - 1
    dry = _cut(scenes, rows, rooms.DELAY - history, rooms.DELAY + scenes.samples)
    return image_source.convolve(torch.from_numpy(rir), torch.from_numpy(dry)).numpy()


def _impulse_responses(
    scenes: Scenes, rows: np.ndarray, absorption: np.ndarray, order: int, engine: str
) -> np.ndarray:
    """RIRs (B, M, T) of some frames by an engine, delayed by `rooms.DELAY`."""
    shared = scenes.mics.ndim == 2
    mics = np.repeat(scenes.mics[None], len(rows), axis=0) if shared else scenes.mics[rows]
    source, constants = scenes.source[rows], (scenes.sample_rate, scenes.speed_of_sound)
    if engine == "pyroomacoustics":
        return rooms.impulse_responses(scenes.room, mics, source, absorption, order, *constants)
    geometry = torch.from_numpy(mics), torch.from_numpy(source), torch.from_numpy(absorption)
    orders = torch.full((len(rows),), order)
    return image_source.impulse_responses(scenes.room, *geometry, orders, *constants).numpy()


def _cut(scenes: Scenes, rows: np.ndarray, first: int, last: int) -> np.ndarray:
    """Dry samples first..last - 1 relative to the start of each frame: (B, last - first).

    Samples outside ``dry_begin``..``dry_end`` of a frame are 0.
    """
    index = scenes.start[rows, None] + np.arange(first, last)
    inside = (index >= scenes.dry_begin[rows, None]) & (index < scenes.dry_end[rows, None])
    return np.where(inside, scenes.dry[np.clip(index, 0, len(scenes.dry) - 1)], np.float32(0))


def _shadow(rir: np.ndarray, direct: np.ndarray, occluded: np.ndarray, rate: int) -> np.ndarray:
    """RIRs (B, M, T) with the direct path of occluded microphones (B, M) weaker and low-passed."""
    import scipy.signal  # slow to load, and only carried sources need it

    pole = np.exp(-2 * np.pi * SHADOW_HZ / rate)
    low_passed = SHADOW_GAIN * scipy.signal.lfilter([1 - pole], [1, -pole], direct)
    shadowed = rir.copy()
    shadowed[occluded, : direct.shape[-1]] += (low_passed - direct)[occluded]
    return shadowed


def _assemble(
    scenes: Scenes, chunks: list[Path], file: Path, seed: int, engine: str
) -> frames.Frames:
    """Frames of all chunks: silent frames dropped, gains and noise applied, table and provenance.

    Audio is written to a memory-mapped ``file``, so that memory does not grow with the frames.
    """
    power = np.concatenate([np.square(np.load(path)).mean(axis=-1) for path in chunks])  # (F, M)
    level = power.mean(axis=1)
    keep = np.arange(len(scenes))
    if scenes.silence_db is not None:
        keep = np.flatnonzero(~audio.silent(level, scenes.silence_db))
    if len(keep) == 0 or not level[keep].max() > 0:
        raise InputError("all frames are silent: the dry sound given to the simulation is empty")
    reference = level[keep].mean() if scenes.noise_level == "track" else power
    sound = _add_noise(scenes, chunks, keep, reference, file, seed)
    parts = [keep[first : first + CHUNK] for first in range(0, len(keep), CHUNK)]
    source = np.concatenate([_cut(scenes, part, 0, scenes.samples) for part in parts])
    order = rooms.sabine(scenes.room, scenes.t60_s[keep], scenes.speed_of_sound)[1]
    return frames.Frames(
        audio=sound,
        source_audio=source,
        mic_positions=(scenes.mics if scenes.mics.ndim == 2 else scenes.mics[keep]) - scenes.origin,
        source_position=scenes.source[keep] - scenes.origin,
        table=scenes.table.iloc[keep].reset_index(drop=True),
        sample_rate=scenes.sample_rate,
        speed_of_sound=scenes.speed_of_sound,
        meta=scenes.meta
        | {
            "room": scenes.room.tolist(),
            "origin": scenes.origin.tolist(),
            "frames_rendered": len(scenes),
            "frames_silent": len(scenes) - len(keep),
            "frames_anechoic": int((order == 0).sum()),
            "engine": engine,
            "seed": seed,
            "provenance": provenance.stamp(),
        },
    )


def _add_noise(
    scenes: Scenes,
    chunks: list[Path],
    keep: np.ndarray,
    reference: np.ndarray | float,
    file: Path,
    seed: int,
) -> np.ndarray:
    """Audio of the frames ``keep`` with noise and gains, mapped to ``file``: (F, M, L) float32.

    reference: power that the SNR refers to, (F, M) or one for all frames. The noise of each frame
    has its own random stream, so that any subset of the frames can be rendered again.
    """
    shape = (len(keep), scenes.mics.shape[-2], scenes.samples)
    snr_db = np.broadcast_to(scenes.snr_db.reshape(len(scenes), -1), (len(scenes), shape[1]))
    sigma = np.sqrt(reference * 10 ** (-snr_db / 10)).astype(np.float32)
    gain = 10 ** (np.asarray(scenes.meta.get("gain_db", [0.0])) / 20)
    sound = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    loaded = -1
    for row, index in enumerate(keep):
        chunk, place = divmod(int(index), CHUNK)
        if chunk != loaded:
            clean, loaded = np.load(chunks[chunk]), chunk
        frame = clean[place]
        if np.isfinite(snr_db[index]).any():
            noise = seeds.rng(seed, "noise", scenes.table["track"].iloc[index], int(index))
            frame += sigma[index, :, None] * noise.standard_normal(frame.shape, dtype=np.float32)
        sound[row] = frame * gain[:, None].astype(np.float32)
    return sound
