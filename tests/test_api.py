"""`import wavloc`: light, typed, documented, and the same as the commands."""

from __future__ import annotations

import argparse
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wavloc
from helpers.recordings import MICS, RATE, dry_sound, errors_m, heard, write_mics, write_sound
from wavloc import cli
from wavloc.methods.predictions import Predictions

SOURCE = np.array([2.0, 3.0, 1.0])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mics.csv and a second of noise from one place."""
    folder = tmp_path_factory.mktemp("api")
    write_mics(folder / "mics.csv", MICS)
    write_sound(folder / "recording.wav", heard(dry_sound(0.6), MICS, SOURCE))
    return folder


def sound() -> np.ndarray:
    return heard(dry_sound(0.6), MICS, SOURCE).T


def test_import_is_light() -> None:
    code = "import sys, wavloc; print(sorted({'numpy', 'pandas', 'torch'} & set(sys.modules)))"
    code += "; dir(wavloc); wavloc.locate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]
    timed = [sys.executable, "-X", "importtime", "-c", "import wavloc"]
    lines = subprocess.run(timed, capture_output=True, text=True, check=True).stderr.splitlines()
    (mine,) = [line.split("|")[1] for line in lines if line.split("|")[2].strip() == "wavloc"]
    assert int(mine) < 200_000  # microseconds


def test_every_name_is_there_documented_and_typed(root: Path) -> None:
    page = (root / "docs" / "api.md").read_text()
    assert (root / "src" / "wavloc" / "py.typed").is_file()
    assert set(wavloc.__all__) <= set(dir(wavloc))
    for name in wavloc.__all__:
        value = getattr(wavloc, name)
        assert name in page, name
        if name == "methods":
            value = sys.modules["wavloc.api"].methods
        assert value.__doc__, name
        if inspect.isfunction(value):
            hints = inspect.signature(value)
            assert hints.return_annotation is not hints.empty
            assert all(p.annotation is not p.empty for p in hints.parameters.values()), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wavloc.nothing


@pytest.mark.parametrize("command", ["locate", "check"])
def test_options_and_defaults_are_those_of_the_command(command: str) -> None:
    parser = cli._parser()._subparsers._group_actions[0].choices[command]
    typed = {a.dest: a.default for a in parser._actions if a.default is not argparse.SUPPRESS}
    ours = inspect.signature(getattr(wavloc, command)).parameters
    own = {"audio", "mics", "sample_rate", "options", "device", "seed", "starts"}
    files = {"out", "plot", "html", "format", "pcm", "config", "log", "debug", "threads", "strict"}
    assert set(typed) - files - own == set(ours) - own
    assert {n: p.default for n, p in ours.items() if n not in own} == {
        name: default for name, default in typed.items() if name in set(ours) - own
    }


def test_files_tables_and_arrays_give_what_the_command_gives(folder: Path, tmp_path: Path) -> None:
    given = ["--mics", str(folder / "mics.csv"), "--audio", str(folder / "recording.wav")]
    out = tmp_path / "command.csv"
    assert cli.main(["locate", "--method", "srp_phat", *given, "--out", str(out)]) == 0
    table = pd.read_csv(folder / "mics.csv").set_index("name")
    singles = []
    for name, channel in zip(table.index, sound(), strict=True):
        singles.append(write_sound(tmp_path / f"{name}.wav", channel))
    for audio, mics, rate in (
        (folder / "recording.wav", str(folder / "mics.csv"), None),
        (str(folder / "recording.wav"), table, None),
        (sound(), MICS, RATE),
        (singles[::-1], table, RATE),
        (singles, MICS.tolist(), None),
    ):
        found = wavloc.locate(audio, mics, rate, method="srp_phat")
        found.save(tmp_path / "api.csv")
        assert (tmp_path / "api.csv").read_bytes() == out.read_bytes()
    assert errors_m(found.table, SOURCE).max() < 0.02
    assert found.microphones["name"].tolist() == table.index.tolist()


def test_events_have_a_picture(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("0.2\t0.3\ta\n")
    found = wavloc.locate(sound(), MICS, RATE, method="srp_phat", events=tmp_path / "labels.txt")
    found.plot(tmp_path / "events.png")
    assert (tmp_path / "events.png").stat().st_size > 10_000


def test_located_has_reliability_and_a_picture(folder: Path, tmp_path: Path) -> None:
    found = wavloc.locate(sound(), MICS, RATE, hop=0.2)
    assert found.reliability.shape == (len(found.table), len(MICS))
    assert found.reliability.to_numpy().min() > 0
    assert (found.table["confidence"] > 0.5).all()
    found.plot(tmp_path / "track.png")
    assert (tmp_path / "track.png").stat().st_size > 10_000
    assert found.plot().get_axes()


def test_a_method_of_ones_own_and_options(folder: Path) -> None:
    class Corner(wavloc.Method):
        min_mics = 1
        any_array = True

        def estimate(self, frames, setup):
            return Predictions(np.ones((len(frames), 3)), np.full(len(frames), "ok", object))

    found = wavloc.locate(sound(), MICS, RATE, method=Corner())
    assert (found.table[["x", "y", "z"]] == 1).all(axis=None)
    sure = wavloc.locate(sound(), MICS, RATE, min_confidence=1, hop=0.3)
    assert (sure.table["status"] == "uncertain").all()


def test_integers_and_other_rates_are_the_same_sound() -> None:
    whole = np.round(sound() * 32767).astype(np.int16)
    assert errors_m(wavloc.locate(whole, MICS, RATE, method="srp_phat").table, SOURCE).max() < 0.02
    fast = heard(dry_sound(0.4, rate=48_000), MICS, SOURCE, 48_000).T
    assert errors_m(wavloc.locate(fast, MICS, 48_000, method="srp_phat").table, SOURCE).max() < 0.02


def test_recordings_in_memory_begin_at_different_times() -> None:
    late = 0.1 * (np.arange(len(MICS)) == 2)
    shifted = sound()
    shifted[2, : -round(0.1 * RATE)] = shifted[2, round(0.1 * RATE) :]
    starts = {f"m{k + 1}": float(late[k]) for k in range(len(MICS))}
    found = wavloc.locate(shifted[:, :8000], MICS, RATE, method="srp_phat", starts=starts)
    assert errors_m(found.table, SOURCE).max() < 0.02
    assert any("begin or end at different times" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("audio", "mics", "rate", "more", "words"),
    [
        (sound(), MICS, None, {}, "sample_rate: None"),
        (sound(), MICS, 10, {}, "sample_rate: 10, expected a whole number from 1,000"),
        (sound().T, MICS, RATE, {}, "expected numbers (channels, samples) with 8 channels"),
        (sound() * np.nan, MICS, RATE, {}, "NaN or infinite"),
        (sound().astype(complex), MICS, RATE, {}, "complex128"),
        (sound(), MICS[:, :2], RATE, {}, "expected numbers (M, 3)"),
        (sound(), pd.DataFrame({"x": [1]}), RATE, {}, "expected name,x,y,z"),
        (sound().tolist(), MICS, RATE, {}, "audio: list, expected a path"),
        ([], MICS, RATE, {}, "audio: list, expected a path"),
        ("nothing.wav", MICS, None, {}, "nothing.wav: no such audio file"),
        (sound(), MICS, RATE, {"hop": 0}, "--hop: 0, expected a number from 0.001"),
        (sound(), MICS, RATE, {"room": (1, 2)}, "--room: (1, 2), expected 3 numbers"),
        (sound(), MICS, RATE, {"room": (1, 2, 0)}, "--room: 0, expected a number above 0"),
        (sound(), MICS, RATE, {"plane": "up"}, "--plane: 'up', expected z=HEIGHT"),
        (sound(), MICS, RATE, {"plane": "z=nan"}, "--plane: nan, expected"),
        (sound(), MICS, RATE, {"method": "nobody"}, "nobody"),
        (sound(), MICS, RATE, {"units": "miles"}, "units: 'miles'"),
        (sound(), MICS, RATE, {"starts": {"m1": 0}}, "starts: of ['m1']"),
        (sound(), MICS, RATE, {"speed_of_sound": 1500}, "from 300 to 370 m/s in air"),
    ],
)
def test_wrong_input_is_one_line(audio, mics, rate, more: dict, words: str) -> None:
    with pytest.raises(wavloc.InputError) as refused:
        wavloc.locate(audio, mics, rate, **more)
    assert words in str(refused.value)


def test_check_is_the_command(folder: Path, tmp_path: Path, capsys) -> None:
    given = ["--mics", str(folder / "mics.csv"), "--audio", str(folder / "recording.wav")]
    assert cli.main(["check", *given]) == 0
    shown = capsys.readouterr().out
    for audio, rate in ((folder / "recording.wav", None), (sound(), RATE)):
        checked = wavloc.check(audio, folder / "mics.csv", rate)
        assert f"{checked}\n" == shown
    assert checked.table["name"].tolist() == [f"m{k}" for k in range(8)]
    quiet = sound() * (np.arange(8) != 3)[:, None]
    (dead,) = [one for one in wavloc.check(quiet, MICS, RATE).findings if one.kind == "dead"]
    assert dead.channels == ("m4",)
    checked.plot(tmp_path / "check.png")
    assert (tmp_path / "check.png").stat().st_size > 10_000


def test_methods_are_listed_and_made() -> None:
    listed = wavloc.methods()
    assert {"steered", "multilat", "srp_phat", "wav2pos"} <= set(listed.index)
    assert listed.loc["oracle", "kind"] == "control"
    assert listed.loc["wav2pos", "kind"] == "learned"
    assert isinstance(wavloc.method("srp_phat"), wavloc.Method)
    assert wavloc.method("multilat", options={"peaks": 2}).options.peaks == 2
    with pytest.raises(wavloc.InputError, match="unknown method 'none'"):
        wavloc.method("none")


def test_frames_of_a_shoebox_are_located_and_scored(tmp_path: Path) -> None:
    frames = wavloc.simulate((6, 5, 2.7), MICS, count=12, t60=0.2)
    again = wavloc.simulate((6, 5, 2.7), MICS, count=12, t60=0.2)
    assert np.array_equal(frames.audio, again.audio)
    assert frames.audio.shape == (12, 8, 2048)
    assert not isinstance(frames.audio, np.memmap)
    assert (frames.source_position > 0.29).all()
    assert not np.array_equal(wavloc.simulate((6, 5, 2.7), MICS, count=12, seed=1).audio[0],
                              frames.audio[0])  # fmt: skip
    found = wavloc.method("srp_phat").predict(frames)
    scores = wavloc.evaluate(frames, found)
    assert scores["method"].unique().tolist() == ["srp_phat"]
    median = scores.set_index("metric").loc["median"]
    assert median["ci_low"] <= median["value"] <= median["ci_high"]
    assert median["value"] < 5  # cm
    frames.save(tmp_path / "frames")
    found.save(tmp_path / "found.parquet")
    table = pd.DataFrame(found.position, columns=[*"xyz"])
    several = {"array": found.position, "table": table, "file": tmp_path / "found.parquet"}
    mae = wavloc.evaluate(tmp_path / "frames", several).query("metric == 'mae'")
    assert mae["method"].tolist() == ["array", "table", "file"]
    assert mae["value"].nunique() == 1
    assert wavloc.evaluate(frames, found, by=["snr_db"])["snr_db"].unique().tolist() == [30.0]


def test_sources_and_sound_can_be_given() -> None:
    places = [[1, 1, 1], [4, 4, 1.5]]
    tone = np.sin(np.arange(16_000) / 3)
    frames = wavloc.simulate((6, 5, 2.7), MICS, places, sound=tone, t60=0, snr_db=float("inf"))
    assert frames.source_position.tolist() == places
    far = np.linalg.norm(MICS - places[0], axis=1)
    level = frames.audio[0].std(axis=1) * far  # 1 / distance, nothing else
    assert level == pytest.approx(np.full(8, level[0]), rel=0.02)
    for given, words in (
        ({"sources": [[9, 1, 1]]}, "source position 1 at"),
        ({"sources": [1, 2, 3]}, r"sources: shape \(3,\)"),
        ({"t60": -1}, "t60: -1"),
        ({"snr_db": "loud"}, "snr_db: 'loud'"),
        ({"count": 0}, "count: 0"),
        ({"sound": np.zeros(5)}, r"sound: shape \(5,\)"),
        ({"room": (1, 2)}, "room: "),
    ):
        with pytest.raises(wavloc.InputError, match=words):
            wavloc.simulate(**{"room": (6, 5, 2.7), "mics": MICS} | given)
    with pytest.raises(wavloc.InputError, match=r"predictions: shape \(2, 2\)"):
        wavloc.evaluate(frames, np.zeros((2, 2)))


def test_the_page_runs(root: Path, folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    for name in ("mics.csv", "recording.wav"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (root / "docs/api.md").read_text(), re.M | re.S)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert "--room: from" in capsys.readouterr().out
    assert {"track.png", "page.html", "positions.csv", "check.png", "my_frames"} <= set(
        path.name for path in tmp_path.iterdir()
    )
