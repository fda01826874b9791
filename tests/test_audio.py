"""Reading audio: every container by one rule, whatever its suffix."""

from __future__ import annotations

import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavloc import audio, containers
from wavloc.errors import InputError

KINDS = {
    "wav": ("WAV", "PCM_16"),
    "WAVE": ("WAV", "PCM_24"),
    "wavex": ("WAVEX", "FLOAT"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
}
# Where the size of the sound is stated, from the start of the sound: bytes before it, how written.
STATED = {
    "wav": (4, "<I"),
    "WAVE": (4, "<I"),
    "wavex": (4, "<I"),
    "w64": (8, "<q"),
    "aiff": (12, ">I"),
    "caf": (12, ">q"),
}


@pytest.fixture
def sound() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (5001, 3)).astype(np.float32)


def stored(folder: Path, kind: str, sound: np.ndarray) -> Path:
    path = folder / f"x.{kind}"
    form, subtype = KINDS[kind]
    soundfile.write(path, sound, 16000, format=form, subtype=subtype)
    return path


def restate(path: Path, kind: str, size: int) -> None:
    """State another size of the sound: what the field holds, whatever that counts."""
    content = bytearray(path.read_bytes())
    start = containers.sound_of(path).start
    if kind == "au":
        content[8:12] = struct.pack(">I", size)
    elif kind == "rf64":
        at = content.index(b"ds64") + 16
        content[at : at + 8] = struct.pack("<Q", size)
    else:
        before, form = STATED[kind]
        content[start - before : start - before + struct.calcsize(form)] = struct.pack(form, size)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read_whole(tmp_path, kind, sound) -> None:
    samples, rate = audio.read_audio(stored(tmp_path, kind, sound))
    assert rate == 16000
    assert np.allclose(samples, sound, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.9, -4])
def test_truncated_files_name_both_sizes(tmp_path, kind, sound, kept) -> None:
    path = stored(tmp_path, kind, sound)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept > 0 else kept])
    with pytest.raises(
        InputError, match=r"truncated, \d+ of (5001|all) samples .* states [\d,]+ .* [\d,]+\)$"
    ):
        audio.read_audio(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.25, 0.01])
def test_too_small_a_size_names_both(tmp_path, kind, sound, share) -> None:
    path = stored(tmp_path, kind, sound)
    restate(path, kind, 2 * int(share * 5000) * 6)
    with pytest.raises(InputError, match=r"damaged, its header states [\d,]+ .* holds [\d,]+$"):
        audio.read_audio(path)


STREAMED = [(kind, size) for kind in ("wav", "WAVE", "wavex") for size in
            (0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0)]  # fmt: skip
STREAMED += [("w64", 0), ("w64", 24), ("w64", 2**63 - 1), ("caf", -1), ("au", 0xFFFFFFFF)]
STREAMED += [("rf64", 0), ("rf64", 2**64 - 1), ("aiff", 0), ("aiff", 0xFFFFFFFF)]


@pytest.mark.parametrize(("kind", "size"), STREAMED)
def test_streamed_files_are_read_to_their_end(tmp_path, kind, size, sound) -> None:
    path = stored(tmp_path, kind, sound)
    whole, _ = audio.read_audio(path)
    restate(path, kind, size)
    content = path.read_bytes()
    samples, rate = audio.read_audio(path)
    assert rate == 16000
    assert np.array_equal(samples[: len(whole)], whole)
    path.write_bytes(content[:-7])  # killed in the middle of a sample
    assert len(audio.read_audio(path)[0]) >= len(whole) - 2


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF, 0xFFFFFF00], ids=hex)
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
def test_more_than_four_gib_are_read_to_their_end(tmp_path, kind, size) -> None:
    """Hours of a recorder that writes to a pipe; here nearly all of it is a hole in the file."""
    path, frames = tmp_path / "hours.wav", 2**32 // 16 + 1_000_001
    end = np.arange(800, dtype=np.int16).reshape(100, 8)
    soundfile.write(path, end[:0], 16000, format=kind, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[-4:] = struct.pack("<I", size)
    if kind == "RF64":
        content[20:44] = bytes(24)  # its sizes of 64 bits
        content[-4:] = b"\xff" * 4
    with path.open("wb") as handle:
        handle.write(content)
        handle.seek(len(content) + (frames - len(end)) * 16)
        handle.write(end.tobytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = containers.sound_of(path)
    assert (found.stated, found.held) == (None, frames * 16)
    with audio.opened(path, found) as handle:
        assert (handle.frames, handle.channels, handle.samplerate) == (frames, 8, 16000)
        assert not handle.read(1000).any()
        handle.seek(frames - 100)
        assert np.array_equal(handle.read(200, dtype="int16"), end)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_sizes_that_wrapped_at_four_gib_are_refused(tmp_path) -> None:
    """2 frames out of hours: the rest of the file is no chunk."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.full((1000, 8), 0.1), 16000)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 32)
    path.write_bytes(content)
    with pytest.raises(InputError, match="states 32 bytes of sound, the file holds 16,000"):
        audio.read_audio(path)


def test_chunks_after_the_sound_are_not_sound(tmp_path, sound) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, sound[:, 0], 16000, subtype="PCM_24")  # an odd number of bytes
    content = path.read_bytes()
    chunk = b"LIST" + struct.pack("<I", 11) + b"INFOISFT..."
    for padding, end in ((b"\0", b"\0"), (b"", b"\0"), (b"\0", b"")):
        start = content.index(b"data") + 8
        path.write_bytes(content[: start + 15003] + padding + chunk + end)
        assert len(audio.read_audio(path)[0]) == 5001


def test_flac_is_judged_by_its_header_too(tmp_path, sound) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, sound, 16000)
    whole, _ = audio.read_audio(path)
    assert np.array_equal(whole, soundfile.read(path, dtype="float32")[0])
    content = path.read_bytes()
    for stated, good in ((0, True), (2000, False), (9000, False)):
        path.write_bytes(content[:22] + struct.pack(">I", stated) + content[26:])
        if good:
            assert np.array_equal(audio.read_audio(path)[0], whole)
            continue
        with pytest.raises(InputError, match=f"5001 of {stated} samples"):
            audio.read_audio(path)
    for cut in (len(content) // 2, len(content) - 100, 30):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"truncated|not readable"):
            audio.read_audio(path)


@pytest.mark.parametrize("rate", [1, 999, 2**31 - 1])
def test_impossible_rates_are_refused(tmp_path, rate) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(100), 16000)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=f"rate: {rate}, expected a number from 1,000 to 1,000,000 Hz"
    ):
        audio.read_audio(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"not audio" * 100])
def test_what_is_no_audio_is_one_line(tmp_path, content) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.wav: "):
        audio.read_audio(tmp_path / "x.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(InputError, match=r"empty\.wav: truncated, 0 of 0"):
        audio.read_audio(tmp_path / "empty.wav")
