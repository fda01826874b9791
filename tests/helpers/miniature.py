"""Small archives in the very formats of the real ones, with a truth that is known to a formula.

LuViRA: noise from a loudspeaker on a known path, delayed and weakened on the way to each
microphone (no room), at 96 kHz; motion capture in millimetres at 100 Hz with a rigid body of four
markers, lost samples, a gap and a flicker. LibriSpeech: noise bursts in the folders of test-clean.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from wavloc.geometry import LUVIRA_MICS

RATE = 96_000
CAPTURE_HZ = 100
OFFSET_S = 0.37  # of the first captured moment in the time of the audio
SPEED = 343.0
LEAD_S = 0.1  # silence at the start
# The body: three markers in the plane of the cone, the fourth 3 cm in front of its middle.
BODY = np.array([[0.2, 0, 0], [-0.1, 0, 0.1], [0.03, 0, -0.05], [0.0, 0.03, 0.0]])
GAP = (0.5, 0.8)  # s of the capture in which the loudspeaker is not seen at all


def path_of(take: str, time_s: np.ndarray) -> np.ndarray:
    """Position (T, 3) of the loudspeaker at times of the audio: a walk with the steps in it."""
    turn = sum(map(ord, take)) % 7
    return np.stack(
        [
            0.8 * np.sin(0.9 * time_s + turn),
            0.9 * np.cos(0.7 * time_s + turn) - 0.4,
            1.15 + 0.04 * np.sin(2 * np.pi * 1.8 * time_s + turn),
        ],
        axis=1,
    )


def sound(take: str, seconds: float, rate: int = RATE, speed: float = SPEED) -> np.ndarray:
    """Channels (12, n) of microphones 1..11 and of the one that rides 12 cm above the source."""
    rng = np.random.default_rng(sum(map(ord, take)))
    size = int(seconds * rate)
    dry = rng.standard_normal(size + rate)
    dry = scipy.signal.sosfilt(
        scipy.signal.butter(6, [200, 5000], "bandpass", fs=rate, output="sos"), dry
    )
    dry[: int(LEAD_S * rate) + rate // 2] = 0
    time_s = np.arange(size) / rate
    source = path_of(take, time_s)
    above = np.array([0, 0, 0.12])
    channels = []
    for place in [*LUVIRA_MICS, source + above]:
        distance = np.linalg.norm(source - place, axis=1)
        # What is heard at a time was sent from where the source was then.
        sent_s = time_s - distance / speed
        at = place if place.ndim == 1 else path_of(take, sent_s) + above
        distance = np.linalg.norm(path_of(take, sent_s) - at, axis=1)
        heard = np.interp((time_s - distance / speed) * rate + rate // 2, np.arange(len(dry)), dry)
        channels.append(heard / distance)
    channels = np.array(channels)
    return 0.4 * channels / np.abs(channels).max()


def markers(take: str, time_s: np.ndarray, offset_s: float = OFFSET_S) -> dict[str, np.ndarray]:
    """What motion capture sees (T, 3) in metres at its own times; nothing is lost yet."""
    found = {}
    for k, mic in enumerate(LUVIRA_MICS):
        for side, sign in (("R", 1), ("L", -1)):
            found[f"mic{k + 1:02d}{side}"] = mic + np.tile([0.015 * sign, 0, 0], (len(time_s), 1))
    angle = 0.6 * time_s
    turned = np.zeros((len(time_s), 3, 3))
    turned[:, 0, 0] = turned[:, 1, 1] = np.cos(angle)
    turned[:, 0, 1], turned[:, 1, 0] = -np.sin(angle), np.sin(angle)
    turned[:, 2, 2] = 1
    centre = path_of(take, time_s + offset_s)
    for k, corner in enumerate(BODY):
        found[f"speaker{k + 1}"] = centre + turned @ corner
    return found


def write_tracks(
    folder: Path,
    take: str,
    seconds: float,
    subtype: str = "PCM_16",
    rate: int = RATE,
    name: str = "Track {}.wav",
    speed: float = SPEED,
) -> None:
    """``Track 1.wav`` ... ``Track 12.wav``."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, channel in enumerate(sound(take, seconds, rate, speed)):
        soundfile.write(folder / name.format(k + 1), channel, rate, subtype=subtype)


def start_signal(kind: str, seconds: float, offset_s: float, rate: int) -> np.ndarray:
    """A channel in which motion capture begins at an offset: ``pulse``, ``train`` or ``step``."""
    time_s = np.arange(int(seconds * rate)) / rate - offset_s
    length_s = {"pulse": 0.005, "train": 0.001, "step": np.inf}[kind]
    if kind == "train":
        time_s = np.where(time_s >= 0, time_s % (1 / CAPTURE_HZ), -1.0)
    return np.where((time_s >= 0) & (time_s < length_s), 0.5, 0.0)


def write_raw(
    root: Path,
    take: str,
    seconds: float = 2.0,
    subtype: str = "PCM_16",
    *,
    rate: int = RATE,
    offset_s: float = OFFSET_S,
    sync: str = "Sync.wav",
    kind: str = "pulse",
    part: str = "Audio_only",
    speed: float = SPEED,
) -> None:
    """A take as in the archives: ``Audio_only/<take>/`` and ``raw/3D/<take>.tsv``.

    offset_s: audio time at which motion capture begins, negative if that was before.
    """
    folder = root / part / take
    write_tracks(folder, take, seconds, subtype, rate, speed=speed)
    if sync:
        signal = start_signal(kind, seconds, offset_s, rate)
        soundfile.write(folder / sync, signal, rate, subtype=subtype)
    write_capture(root, take, seconds, offset_s)


def write_capture(root: Path, take: str, seconds: float, offset_s: float = OFFSET_S) -> None:
    """``raw/3D/<take>.tsv``: motion capture from an audio time on, to the end of the audio."""
    rng = np.random.default_rng(len(take))
    time_s = np.arange(int((seconds - offset_s) * CAPTURE_HZ)) / CAPTURE_HZ
    seen = markers(take, time_s, offset_s)
    lost = rng.random(len(time_s)) < 0.12
    lost[[0, 1, -1]] = False
    which = rng.integers(0, 5, len(time_s))  # one of the four, or all of them
    gone = (time_s >= GAP[0]) & (time_s < GAP[1])
    for k in range(4):
        seen[f"speaker{k + 1}"][(lost & ((which == k) | (which == 4))) | gone] = 0
    seen["mic05R"][10:14] += 0.2  # a flicker
    write_tsv(root / "raw" / "3D" / f"{take}.tsv", time_s, seen)


def write_tsv(path: Path, time_s: np.ndarray, seen: dict[str, np.ndarray]) -> None:
    """A Qualisys export in millimetres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = [
        ["NO_OF_FRAMES", len(time_s)],
        ["NO_OF_CAMERAS", 20],
        ["NO_OF_MARKERS", len(seen)],
        ["FREQUENCY", CAPTURE_HZ],
        ["NO_OF_ANALOG", 0],
        ["ANALOG_FREQUENCY", 0],
        ["DESCRIPTION", "--"],
        ["TIME_STAMP", "2022-05-07, 15:49:44.620", "25975.44751328"],
        ["DATA_INCLUDED", "3D"],
        ["EVENT", "start", 1, "0.00000"],
        ["MARKER_NAMES", *seen],
        ["TRAJECTORY_TYPES", *["Measured"] * len(seen)],
        ["Frame", "Time", "SMPTE"]
        + [f"{name} {what}" for name in seen for what in ("X", "Y", "Z", "Type")],
    ]
    rows = [
        [k + 1, f"{t:.5f}", ""]
        + [
            cell
            for place in seen.values()
            for cell in (*(f"{1000 * x:.3f}" for x in place[k]), "Measured")
        ]
        for k, t in enumerate(time_s)
    ]
    lines = ["\t".join(map(str, row)) for row in [*head, *rows]]
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode())


def write_converted(
    root: Path, take: str, seconds: float = 2.0, begin_s: float = 0.0, info: dict | None = None
) -> None:
    """A take in the converted layout; its ``time`` is 0 at ``begin_s`` of the audio."""
    folder = root / take
    write_tracks(folder, take, seconds)
    info = info or {"sampling_rate": RATE, "number_of_mics": 12}
    (folder / "info.json").write_text(json.dumps(info))
    time_s = begin_s + np.arange(int((seconds - begin_s) * CAPTURE_HZ)) / CAPTURE_HZ
    source = path_of(take, time_s)
    source[(time_s >= OFFSET_S + GAP[0]) & (time_s < OFFSET_S + GAP[1])] = np.nan
    header = ["time", *(f"mic{k}_{a}" for k in range(1, 12) for a in "xyz")]
    header += [f"speaker_{axis}" for axis in "xyz"]
    mics = ",".join(f"{value:.6f}" for value in LUVIRA_MICS.ravel())
    lines = [
        f"{t - begin_s:.3f},{mics}," + ",".join("NaN" if np.isnan(x) else f"{x:.6f}" for x in place)
        for t, place in zip(time_s, source, strict=True)
    ]
    (folder / "gt_positions.csv").write_text("\n".join([",".join(header), *lines]) + "\n")


def luvira_archives(folder: Path, takes: list[str], seconds: float) -> None:
    """``Audio_only.zip`` and ``Ground_truth_raw.zip``."""
    work = folder / "work"
    for number, take in enumerate(takes):
        write_raw(work, take, seconds, "PCM_24" if number == 1 else "PCM_16")
    for name, part in (("Audio_only.zip", "Audio_only"), ("Ground_truth_raw.zip", "raw")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in sorted((work / part).rglob("*")):
                archive.write(path, path.relative_to(work))


def librispeech_archive(folder: Path, speakers: list[int], number: int = 2) -> None:
    """``test-clean.tar.gz``: some utterances of 3 s and one of 0.8 s for each speaker."""
    work = folder / "work" / "LibriSpeech" / "test-clean"
    for speaker in speakers:
        rng = np.random.default_rng(speaker)
        chapter = work / str(speaker) / "100"
        chapter.mkdir(parents=True)
        for k in range(number + 1):
            seconds = 3.0 if k < number else 0.8
            sound = 0.1 * rng.standard_normal(int(seconds * 16000))
            path = chapter / f"{speaker}-100-{k:04d}.flac"
            soundfile.write(path, sound, 16000, format="FLAC", subtype="PCM_16")
        (chapter / f"{speaker}-100.trans.txt").write_text("NOISE\n")
    with tarfile.open(folder / "test-clean.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(folder / "work" / "LibriSpeech", "LibriSpeech")
