"""Dry sound: the container, every source, and the processing of the waveform."""

from __future__ import annotations

import itertools
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavloc import audio
from wavloc.datasets import sound
from wavloc.datasets.sound import (
    composer,
    corpus,
    embedded_music,
    embedded_speech,
    librispeech,
    synthetic,
    voices,
)
from wavloc.datasets.sound.sentences import sentences
from wavloc.errors import InputError, WorkError

RATE = audio.SAMPLE_RATE


def tone(seconds: float = 1.5, hz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def pitch_hz(samples: np.ndarray) -> float:
    """Median pitch of the clearly periodic frames, by autocorrelation between 50 and 400 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512]
    spectrum = np.abs(np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), 2048)) ** 2
    correlation = np.fft.irfft(spectrum)[:, :320]
    correlation = correlation / (correlation[:, :1] + 1e-9)
    peak = correlation[:, 40:].max(axis=1)
    return float(np.median(RATE / (40 + correlation[peak > 0.6, 40:].argmax(axis=1))))


def flac(root: Path, speaker: int, samples: np.ndarray, rate: int = RATE, number: int = 0) -> Path:
    path = root / str(speaker) / "7" / f"{speaker}-7-{number:04d}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, format="FLAC", subtype="PCM_16")
    return path


# The container


def two_items() -> list[corpus.Item]:
    return [
        corpus.Item("a", "s1", "train", tone(0.1)),
        corpus.Item("b", "s2", "test", tone(0.2, 300), title="Second"),
    ]


def test_corpus_round_trip(tmp_path: Path) -> None:
    corpus.write(tmp_path / "c", "speech", two_items(), {"licence": "none"})
    loaded = corpus.Corpus.load(tmp_path / "c")
    assert loaded.items["speaker"].tolist() == ["s1", "s2"]
    assert loaded.meta == {"licence": "none", "sample_rate": RATE}
    np.testing.assert_array_equal(loaded.audio(1), two_items()[1].samples)
    np.testing.assert_array_equal(loaded.select("test").audio(0), two_items()[1].samples)
    with pytest.raises(InputError, match="no items in split 'valid'"):
        loaded.select("valid")


@pytest.mark.parametrize("name", ["audio.npy", "items.parquet", "meta.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_corpus_is_named(tmp_path: Path, name: str, damage: str) -> None:
    corpus.write(tmp_path / "c", "speech", two_items(), {})
    path = tmp_path / "c" / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "c"))):
        corpus.Corpus.load(tmp_path / "c")


def test_corpus_with_too_few_samples_is_named(tmp_path: Path) -> None:
    corpus.write(tmp_path / "c", "speech", two_items(), {})
    np.save(tmp_path / "c" / "audio.npy", np.zeros(100, np.float32))
    with pytest.raises(InputError, match=r"audio\.npy: \(100,\) samples, expected \(4800,\)"):
        corpus.Corpus.load(tmp_path / "c")


def test_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable speech"):
        corpus.write(tmp_path / "c", "speech", [], {})
    assert not (tmp_path / "c").exists()


def test_unknown_source_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'tape' is unknown, expected one of embedded, folder"):
        sound.prepare("music", "tape", tmp_path / "c", {}, tmp_path)


# Synthetic sound


@pytest.mark.parametrize("kind", ["speech", "music"])
def test_synthetic_is_deterministic(kind: str, tmp_path: Path) -> None:
    options = {"voices": 4, "utterances_per_voice": 1, "songs": 1, "seconds": 3}
    first, again, changed = (
        synthetic.collect(kind, options, tmp_path, seed)[0] for seed in (0, 0, 1)
    )
    for item, same, different in zip(first, again, changed, strict=True):
        np.testing.assert_array_equal(item.samples, same.samples)
        assert not np.array_equal(item.samples, different.samples)
        assert np.abs(item.samples).max() == pytest.approx(0.7)
    assert list(tmp_path.iterdir()) == []


def test_prepare_writes_a_corpus_with_its_source(tmp_path: Path) -> None:
    options = {"voices": 4, "utterances_per_voice": 1}
    sound.prepare("speech", "synthetic", tmp_path / "c", options, tmp_path / "cache", seed=3)
    loaded = corpus.Corpus.load(tmp_path / "c")
    assert loaded.meta["source"] == "synthetic"
    assert loaded.meta["seed"] == 3
    assert set(loaded.items["split"]) == set(corpus.SPLITS)


# The LibriSpeech reader


def test_librispeech_layout_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 2048 + 90 * 512  # whole frames of the trimmer
    written = {speaker: 0.2 * rng.standard_normal(count).clip(-4, 4) for speaker in (19, 26, 103)}
    for speaker, samples in written.items():
        librispeech.write_utterance(tmp_path / "dev-mini", str(speaker), "5", 0, samples)
    items, meta = librispeech.collect("speech", {"root": str(tmp_path)}, tmp_path, 0)
    assert [item.speaker for item in items] == ["19", "26", "103"]
    assert [item.id for item in items] == ["19-5-0000", "26-5-0000", "103-5-0000"]
    assert meta["counts"]["kept"] == meta["counts"]["files"] == 3
    for item in items:  # noise is not trimmed; it is high-passed and has 16 bits
        expected = audio.highpass(written[int(item.speaker)].astype(np.float32), 50.0, RATE)
        np.testing.assert_allclose(item.samples, expected, atol=2e-4)


def test_one_subset_of_several_and_its_counts(tmp_path: Path) -> None:
    for subset, speakers in (("test-clean", (61, 121, 237, 260)), ("dev-clean", (84, 174))):
        for speaker in speakers:
            flac(tmp_path / "LibriSpeech" / subset, speaker, tone(3))
    options = {"root": str(tmp_path), "subset": "test-clean", "expect": {"files": 4, "speakers": 4}}
    items, meta = librispeech.collect("speech", options, tmp_path, 0)
    assert [item.speaker for item in items] == ["61", "121", "237", "260"]
    assert meta["counts"]["kept_by_split"] == {"train": 0, "valid": 1, "test": 3}
    options["expect"] = {"files": 2620}
    with pytest.raises(InputError, match=r"4 files, expected 2620 \(sound\.speech\.expect"):
        librispeech.collect("speech", options, tmp_path, 0)
    with pytest.raises(InputError, match="unknown key 'hours'"):
        librispeech.collect("speech", options | {"expect": {"hours": 5}}, tmp_path, 0)
    with pytest.raises(InputError, match="no utterances found, expected test-other/<speaker>"):
        librispeech.collect("speech", {"root": str(tmp_path), "subset": "test-other"}, tmp_path, 0)


def test_short_utterances_are_dropped_and_counted(tmp_path: Path) -> None:
    flac(tmp_path, 1, tone(0.9))
    flac(tmp_path, 2, np.concatenate([tone(1.0), np.zeros(2 * RATE, np.float32)]))
    flac(tmp_path, 3, tone(2.5))
    items, meta = librispeech.collect("speech", {"root": str(tmp_path)}, tmp_path, 0)
    assert [item.speaker for item in items] == ["3"]
    assert meta["counts"]["shorter_than_1_s"] == 1
    assert meta["counts"]["short_after_trimming"] == 1


def test_truncated_flac_is_named(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    flac(tmp_path, 1, noise)
    path = flac(tmp_path, 2, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=re.escape(str(path))):
        librispeech.collect("speech", {"root": str(tmp_path)}, tmp_path, 0)


def test_wrong_rate_and_channels_are_named(tmp_path: Path) -> None:
    path = flac(tmp_path, 5, tone(rate=8000), rate=8000)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: 8000 Hz, 1 channels"):
        librispeech.collect("speech", {"root": str(tmp_path)}, tmp_path, 0)
    flac(tmp_path, 5, np.stack([tone(), tone()], axis=1))
    with pytest.raises(InputError, match="2 channels"):
        librispeech.collect("speech", {"root": str(tmp_path)}, tmp_path, 0)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    for root, reason in ((tmp_path, "no utterances found"), (tmp_path / "x", "no such")):
        with pytest.raises(InputError, match=f"{re.escape(str(root))}: {reason}"):
            librispeech.collect("speech", {"root": str(root)}, tmp_path, 0)


def test_published_split_is_used_if_its_speakers_exist() -> None:
    speakers = ["61", "121", "237", "260", "672", "908", "1089", "1188"]
    split = librispeech.split_speakers(speakers, 0.2, 0.1)
    assert {name for name in speakers if split[name] == "test"} == {"61", "121", "237"}
    assert {name for name in speakers if split[name] == "valid"} == {"260", "672", "908"}


def test_hash_split_has_the_stated_fractions_in_any_order() -> None:
    speakers = [str(k) for k in range(100, 140)]
    split = librispeech.split_speakers(speakers, 0.2, 0.1)
    assert [list(split.values()).count(name) for name in ("test", "valid", "train")] == [8, 4, 28]
    assert librispeech.split_speakers(speakers[::-1], 0.2, 0.1) == split


def test_trim_drops_silence_at_the_ends_and_inside() -> None:
    silence = np.zeros(RATE, np.float32)
    trimmed = librispeech.trim(np.concatenate([silence, tone(1), silence, tone(1), silence]))
    assert len(trimmed) == pytest.approx(2 * RATE, abs=4 * 2048)
    steady = tone(2)[: 2048 + 50 * 512]  # whole frames: nothing is dropped
    np.testing.assert_array_equal(librispeech.trim(steady), steady)


def test_highpass_removes_rumble_and_keeps_speech(tmp_path: Path) -> None:
    low, high = tone(3, 20), tone(3, 300)
    assert np.std(audio.highpass(low, 50.0, RATE)[RATE : 2 * RATE]) < 0.01 * np.std(low)
    np.testing.assert_allclose(
        audio.highpass(high, 50.0, RATE)[RATE:-RATE], high[RATE:-RATE], atol=1e-3
    )
    flac(tmp_path, 1, low + 0.5 * high)
    flac(tmp_path, 2, high)
    (item, _), _ = librispeech.collect("speech", {"root": str(tmp_path)}, tmp_path, 0)
    level = np.abs(np.fft.rfft(item.samples * np.hanning(len(item.samples))))
    hz = np.fft.rfftfreq(len(item.samples), 1 / RATE)
    assert level[hz < 30].max() < 0.02 * level.max()


def test_real_speech_of_251_speakers(shared: Path) -> None:
    root = shared / "data" / "librispeech"
    if not root.is_dir():
        pytest.skip("optional recordings (../shared/data/librispeech) are not here")
    paths = librispeech.utterances(root)
    assert len({path.parts[-3] for path in paths}) == len(paths) == 251
    split = librispeech.split_speakers([path.parts[-3] for path in paths], 0.2, 0.1)
    assert [list(split.values()).count(name) for name in ("test", "valid")] == [50, 25]
    for path in paths[::50]:
        samples, rate = audio.read_audio(path)
        assert (rate, samples.shape[1]) == (RATE, 1)
        assert 0.4 * len(samples) < len(librispeech.trim(samples[:, 0])) <= len(samples)


# Embedded speech


def test_splits_share_no_sentence() -> None:
    per_split = [sentences(split) for split in corpus.SPLITS]
    assert len(set(itertools.chain(*per_split))) == sum(map(len, per_split)) >= 400
    for one, two in itertools.combinations(per_split, 2):
        shared_words = set(" ".join(one).lower().split()) & set(" ".join(two).lower().split())
        assert all(len(word.rstrip(".")) <= 6 for word in shared_words), shared_words


@pytest.mark.parametrize(
    ("count", "sizes"), [(3, [1, 1, 1]), (6, [4, 1, 1]), (16, [8, 4, 4]), (40, [20, 10, 10])]
)
def test_voices_are_split_in_proportion(count: int, sizes: list[int]) -> None:
    split_of = embedded_speech.split_voices(count)
    assert [list(split_of.values()).count(name) for name in corpus.SPLITS] == sizes


def test_voice_grid_is_diverse_and_longer_grids_extend_it() -> None:
    grid = voices.grid(16, 0)
    assert grid[:6] == voices.grid(6, 0)
    assert len(set(grid)) == 16
    assert grid != voices.grid(16, 1)
    low = [voice.pitch for voice in grid[::2]]
    assert max(low) <= 0.8 < min(voice.pitch for voice in grid[1::2])


def test_each_split_has_low_and_high_voices_by_default() -> None:
    split_of, grid = embedded_speech.split_voices(16), voices.grid(16, 0)
    for split in corpus.SPLITS:
        pitch = [v.pitch for v, own in zip(grid, split_of.values(), strict=True) if own == split]
        assert min(pitch) < 0.81 < max(pitch)


def test_sentences_repeat_only_after_all_are_used() -> None:
    split_of = embedded_speech.split_voices(16)
    texts = embedded_speech.plan(split_of, 12, 0)
    used = list(itertools.chain(*texts.values()))
    assert len(set(used)) == len(used) == 16 * 12
    for speaker, own in texts.items():
        assert set(own) <= set(sentences(split_of[speaker]))


def test_stretch_moves_a_peak_and_factor_1_changes_nothing() -> None:
    spectrum = np.random.default_rng(0).standard_normal((601, 3)).astype(np.float32)
    np.testing.assert_array_equal(voices.stretch(spectrum, 1.0), spectrum)
    np.testing.assert_array_equal(voices.stretch(spectrum, 1.0, nearest=True), spectrum)
    peak = np.zeros((601, 1), np.float32)
    peak[100] = 1
    assert voices.stretch(peak, 1.2)[:, 0].argmax() == 120
    assert voices.stretch(peak, 0.8)[:, 0].argmax() == 80


def test_pitch_is_scaled_about_its_mean_where_voiced() -> None:
    pitch = np.array([0.0, 100.0, 200.0, 400.0], np.float32)
    changed = voices.change_pitch(pitch, voices.Voice(0.5, 1, 1, 0, 0.5))
    np.testing.assert_allclose(changed, [0, 100 / 2**0.5, 100, 100 * 2**0.5], rtol=1e-5)


def test_embedded_speech_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the embedded speech must not open a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    options = {"voices": 3, "utterances_per_voice": 1}
    items, meta = embedded_speech.collect("speech", options, tmp_path / "one", 0)
    assert [(item.speaker, item.split) for item in items] == [
        ("1001", "train"),
        ("1002", "test"),
        ("1003", "valid"),
    ]
    assert meta["package"] == "hibari-tts"
    assert "Apache-2.0" in meta["licence"]
    assert "Kokoro-82M" in meta["licence"]
    for item in items:
        assert item.samples.dtype == np.float32
        assert len(item.samples) > RATE
        assert np.std(item.samples) > 0.02
        assert np.isfinite(item.samples).all()
    assert pitch_hz(items[1].samples) > 1.4 * pitch_hz(items[0].samples)

    def files_below(root: Path) -> dict[Path, bytes]:
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.flac")}

    # A second cache has the same bytes; an interrupted one is completed.
    embedded_speech.collect("speech", options, tmp_path / "two", 0)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
    kept, lost, _ = sorted((tmp_path / "two").rglob("*.flac"))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    embedded_speech.collect("speech", options, tmp_path / "two", 0)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
    assert kept.stat().st_mtime_ns == before
    assert 2.2 <= soundfile.info(kept).duration <= 5
    assert soundfile.info(kept).samplerate == RATE


@pytest.mark.parametrize(
    ("text", "mean_hz"),
    [
        ("The quick brown fox jumps over the lazy dog near the river bank.", 189.002),
        ("A small boat drifts slowly to the other side of the lake.", 195.363),
    ],
)
def test_the_pitch_is_the_same_on_every_processor(text: str, mean_hz: float) -> None:
    """Where products of 8 bits overflow, its pitch is 0.07 Hz lower and 0.09 Hz higher."""
    tts = voices.Speaker()._tts
    (phonemes,) = tts.phonemize(text)
    feed = {"ids": np.array([tts.ids(phonemes)], np.int64), "speed": np.ones(1, np.float32)}
    pitch = tts.sess.run(None, feed)[-1][0]
    assert pitch[pitch > voices.VOICED_HZ].mean() == pytest.approx(mean_hz, abs=0.01)


@pytest.mark.parametrize("options", [{"voices": 2}, {"utterances_per_voice": 0}])
def test_impossible_counts_are_refused(options: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sound\.speech\.\w+ is \d, expected at least"):
        embedded_speech.collect("speech", options, tmp_path, 0)


def test_wrong_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "MODEL_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"pip install hibari-tts==0\.2\.1"):
        voices.check_model()


# Embedded music


def test_every_composition_has_percussion_throughout() -> None:
    styles = set()
    for number in range(16):
        song = composer.compose(number, 20, 0)
        styles.add(song.style)
        drums = [note.start_s for note in song.notes if note.channel == composer.DRUMS]
        assert np.diff([0, *drums, 20]).max() < 0.5  # no half second without percussion
        assert {composer.LEAD, composer.BASS, composer.PAD} < {note.channel for note in song.notes}
        assert all(0 < note.key < 128 and 0 < note.velocity < 128 for note in song.notes)
        assert 84 <= song.tempo <= 132
    assert styles == set(composer.STYLES)


def test_composer_is_deterministic() -> None:
    assert composer.compose(1, 30, 0) == composer.compose(1, 30, 0)
    assert composer.compose(1, 30, 0) != composer.compose(1, 30, 1)
    assert composer.compose(0, 30, 0).notes != composer.compose(1, 30, 0).notes


def test_failed_fetch_tells_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_music.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(WorkError, match="--config music=synthetic") as caught:
        embedded_music.soundfont(tmp_path)
    assert f"put TimGM6mb.sf2 (from its wheel) at {tmp_path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.sf2"))


def test_wrong_soundfont_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "packages" / "TimGM6mb.sf2"
    path.parent.mkdir()
    path.write_bytes(b"RIFF")
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: sha256 .* expected 82475b91"):
        embedded_music.soundfont(tmp_path)


@pytest.mark.network
def test_embedded_music(tmp_path: Path) -> None:
    options = {"songs": 2, "seconds": 8}
    try:
        items, meta = embedded_music.collect("music", options, tmp_path, 0)
    except WorkError as error:
        pytest.skip(f"no package index: {error}")
    again, _ = embedded_music.collect("music", options, tmp_path, 0)
    assert meta["soundfont_sha256"] == embedded_music.SOUNDFONT_SHA256
    assert re.fullmatch("[0-9a-f]{64}", meta["synthesizer_sha256"])
    for one, two in zip(items, again, strict=True):
        np.testing.assert_array_equal(one.samples, two.samples)
        assert one.samples.shape == (8 * RATE,)
        assert np.abs(one.samples).max() == pytest.approx(0.7, abs=1e-4)
        power = np.abs(np.fft.rfft(one.samples)) ** 2
        assert power[len(power) // 2 :].sum() > 10**-3.5 * power.sum()  # percussion above 4 kHz
        seconds = one.samples.reshape(8, RATE)
        assert np.std(seconds, axis=1).min() > 0.01
