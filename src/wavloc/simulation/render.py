"""Rendering scenes to frames: convolution, occlusion, noise, silence; resumable by chunks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.signal
from tqdm import tqdm

from wavloc import audio, files, frames, provenance, seeds
from wavloc.datasets.base import Scenes
from wavloc.errors import InputError
from wavloc.simulation import rooms

CHUNK = 64  # frames per stored chunk of an unfinished set: the most that an interruption costs
SHADOW_GAIN, SHADOW_HZ = 0.35, 1000.0  # what is left of a direct path behind a person


def render(scenes: Scenes, out: str | Path, seed: int, identity: object = None) -> None:
    """Simulate every frame of ``scenes`` and write a Frames folder at ``out``.

    An interrupted run leaves finished chunks beside ``out`` and goes on from them when the same
    scenes (``identity``: anything JSON that tells them apart) are rendered again. Equal seeds give
    equal bytes, in whatever pieces the work was done.
    """
    out = Path(out)
    mark = provenance.digest([identity, seed, provenance.code_digest(__name__)])
    with files.lock(out.parent / f".{out.name}.lock"):
        partial = out.parent / f".{out.name}.partial-{mark}"
        for stale in sorted(out.parent.glob(f".{out.name}.partial-*")):
            if stale != partial:
                shutil.rmtree(stale)
        try:
            partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {partial}: {error.strerror or error}") from None
        chunks = _render_chunks(scenes, partial, out.name)
        _assemble(scenes, chunks, seed).save(out)
        shutil.rmtree(partial)


def _render_chunks(scenes: Scenes, folder: Path, what: str) -> list[Path]:
    """Clean sound of all frames in files of `CHUNK` frames (B, M, L); finished ones are kept."""
    paths = []
    with tqdm(total=len(scenes), desc=f"simulate {what}", unit="frame", disable=None) as bar:
        for first in range(0, len(scenes), CHUNK):
            last = min(first + CHUNK, len(scenes))
            path = folder / f"{first:07d}.npy"
            paths.append(path)
            if not path.is_file():
                sound = [render_frame(scenes, index) for index in range(first, last)]
                with files.replacing(path) as temporary, temporary.open("wb") as handle:
                    np.save(handle, np.stack(sound))
            bar.update(last - first)
    return paths


def render_frame(scenes: Scenes, index: int) -> np.ndarray:
    """Clean microphone signals (M, L) of one frame; the source stands still within it.

    The dry sound before the frame goes in too, as far back as the response reaches, so that the
    reverberation of earlier speech is in the frame. Sample n of the dry signal reaches a
    microphone at distance d exactly d fs / c samples later.
    """
    speed = scenes.speed_of_sound
    mics = scenes.mics if scenes.mics.ndim == 2 else scenes.mics[index]
    absorption, order = rooms.sabine(scenes.room, float(scenes.t60_s[index]), speed)
    if scenes.max_order is not None:
        order = min(order, scenes.max_order)
    geometry = (scenes.room, mics, scenes.source[index])
    response = rooms.impulse_responses(*geometry, absorption, order, scenes.sample_rate, speed)
    if scenes.occluded is not None and scenes.occluded[index].any():
        direct = rooms.impulse_responses(*geometry, 1.0, 0, scenes.sample_rate, speed)
        response = _shadow(response, direct, scenes.occluded[index], scenes.sample_rate)
    delay = rooms.delay_samples(speed)
    first = int(scenes.start[index]) + delay - (response.shape[1] - 1)
    last = int(scenes.start[index]) + delay + scenes.samples
    dry = _cut(scenes, index, first, last)
    size = scipy.fft.next_fast_len(len(dry), real=True)
    spectrum = scipy.fft.rfft(response, size) * scipy.fft.rfft(dry, size)
    # Wrap-around of the short transform falls on the samples that are discarded here.
    wet = scipy.fft.irfft(spectrum, size)[:, response.shape[1] - 1 : len(dry)]
    return wet.astype(np.float32)


def _cut(scenes: Scenes, index: int, first: int, last: int) -> np.ndarray:
    """Dry samples first..last - 1, silence outside the frame's own programme."""
    begin, end = int(scenes.dry_begin[index]), int(scenes.dry_end[index])
    piece = np.zeros(last - first, np.float32)
    inside = slice(max(first, begin), min(last, end))
    if inside.stop > inside.start:
        piece[inside.start - first : inside.stop - first] = scenes.dry[inside]
    return piece


def _shadow(
    response: np.ndarray, direct: np.ndarray, occluded: np.ndarray, rate: int
) -> np.ndarray:
    """Replace the direct path of occluded microphones by a weaker, low-passed one."""
    pole = np.exp(-2 * np.pi * SHADOW_HZ / rate)
    dulled = SHADOW_GAIN * scipy.signal.lfilter([1 - pole], [1, -pole], direct, axis=1)
    shadowed = response.copy()
    shadowed[occluded, : direct.shape[1]] += (dulled - direct)[occluded]
    return shadowed


def _assemble(scenes: Scenes, chunks: list[Path], seed: int) -> frames.Frames:
    """Put chunks together: gains, noise, silence threshold, table and provenance."""
    clean = np.concatenate([np.load(path) for path in chunks])
    power = np.square(clean).mean(axis=-1)  # (F, M)
    level = power.mean(axis=1)
    keep = np.arange(len(scenes))
    if scenes.silence_db is not None:
        keep = np.flatnonzero(~audio.silent(level, scenes.silence_db))
    if len(keep) == 0 or not level[keep].max() > 0:
        raise InputError("all frames are silent: the dry sound given to the simulation is empty")
    reference = level[keep].mean() if scenes.noise_level == "track" else power
    snr_db = np.broadcast_to(scenes.snr_db.reshape(len(scenes), -1), power.shape)
    sigma = np.sqrt(reference * 10 ** (-snr_db / 10)).astype(np.float32)
    gain = 10 ** (np.asarray(scenes.meta.get("gain_db", [0.0])) / 20)
    sound = clean[keep]
    for row, index in enumerate(keep):  # one stream per frame: any subset can be made again
        if np.isfinite(snr_db[index]).any():
            noise = seeds.rng(seed, "noise", scenes.table["track"].iloc[index], int(index))
            white = noise.standard_normal(sound[row].shape, dtype=np.float32)
            sound[row] += sigma[index, :, None] * white
        sound[row] *= gain[:, None].astype(np.float32)
    source = np.stack(
        [_cut(scenes, k, int(scenes.start[k]), int(scenes.start[k]) + scenes.samples) for k in keep]
    )
    table = scenes.table.iloc[keep].reset_index(drop=True)
    anechoic = sum(
        rooms.sabine(scenes.room, float(t60), scenes.speed_of_sound)[1] == 0
        for t60 in scenes.t60_s[keep]
    )
    return frames.Frames(
        audio=sound,
        source_audio=source,
        mic_positions=(scenes.mics if scenes.mics.ndim == 2 else scenes.mics[keep]) - scenes.origin,
        source_position=scenes.source[keep] - scenes.origin,
        table=table,
        sample_rate=scenes.sample_rate,
        speed_of_sound=scenes.speed_of_sound,
        meta=scenes.meta
        | {
            "room": scenes.room.tolist(),
            "origin": scenes.origin.tolist(),
            "frames_rendered": len(scenes),
            "frames_silent": len(scenes) - len(keep),
            "frames_anechoic": anechoic,
            "seed": seed,
            "provenance": provenance.stamp(),
        },
    )
