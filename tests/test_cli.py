"""The command line: bad input is one clear line and an exit code; nothing is half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.frames import anechoic_frames
from wavloc import cli, config
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods import predictions
from wavloc.reading import READING


def fails(capsys, arguments: list[object], *words: str, code: int = 2) -> None:
    """The command ends with ``code`` and one line on stderr that has all the words."""
    assert cli.main([str(part) for part in arguments]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("wavloc: error: ")
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture
def stored(tmp_path) -> Path:
    anechoic_frames(6).save(tmp_path / "frames")
    return tmp_path / "frames"


@pytest.fixture
def mics(tmp_path) -> Path:
    rows = [f"m{k},{x},{y},{z}" for k, (x, y, z) in enumerate(LUVIRA_MICS.tolist())]
    path = tmp_path / "mics.csv"
    path.write_text("name,x,y,z\n" + "\n".join(rows) + "\n")
    return path


def recording(seconds: float = 1.0, rate: int = 16000) -> tuple[np.ndarray, np.ndarray]:
    """(samples, 11) sound of one standing source on the LuViRA array and its position."""
    rng = np.random.default_rng(0)
    source = np.array([0.4, -0.5, 1.0])
    size = int(seconds * rate) + 4000
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum[np.fft.rfftfreq(size, 1 / rate) > 7000] = 0
    delay = np.linalg.norm(LUVIRA_MICS - source, axis=1) * rate / 343
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * delay[:, None])
    sound = np.fft.irfft(spectrum * turn, size)[:, 2000:-2000].T
    return (0.1 * sound / np.abs(sound).max()).astype(np.float32), source


def test_predict_and_evaluate_any_frames(stored, tmp_path, capsys) -> None:
    out = tmp_path / "p.parquet"
    assert (
        cli.main(
            ["predict", "--method", "multilat_plus", "--frames", str(stored), "--out", str(out)]
        )
        == 0
    )
    assert cli.main(["evaluate", "--frames", str(stored), "--predictions", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "mae" in printed
    assert "multilat_plus" in printed
    said, *rows = printed.splitlines()
    assert said.startswith("setup 1a, mics 11, n_frames 6")
    assert max(map(len, rows)) < 80


def test_one_file_of_text_goes_to_standard_output(
    stored, mics, tmp_path, monkeypatch, capsys
) -> None:
    """``-`` gives the same bytes as a file; messages are elsewhere."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("r.wav", recording()[0], 16000)
    assert cli.main(f"predict --method center --frames {stored} --out p.parquet".split()) == 0
    before = sorted(tmp_path.rglob("*"))
    for command in (
        f"locate --method center --mics {mics} --audio r.wav",
        f"evaluate --frames {stored} --predictions p.parquet --resamples 1000",
        f"properties --methods center --frames {stored}",
        f"counts --frames t={stored}",
        f"rank --frames d/t={stored} --predictions d/t/center=p.parquet --resamples 1000",
    ):
        capsys.readouterr()
        assert cli.main([*command.split(), "--out", "-"]) == 0
        shown = capsys.readouterr().out
        assert sorted(tmp_path.rglob("*")) == before
        assert cli.main([*command.split(), "--out", "file"]) == 0
        assert shown == (tmp_path / "file").read_text()
        (tmp_path / "file").unlink()


def test_classical_predictions_load_no_torch(stored, tmp_path) -> None:
    """It takes longer to load than most of them take to compute, in every one of many jobs."""
    arguments = ["predict", "--method", "center", "--frames", str(stored)]
    arguments += ["--out", str(tmp_path / "out.parquet")]
    program = f"import sys; from wavloc import cli; code = cli.main({arguments!r}); "
    program += "sys.exit(code or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_predict_refuses_bad_usage(stored, tmp_path, capsys) -> None:
    out = tmp_path / "p.parquet"
    base = ["predict", "--frames", stored, "--out", out]
    fails(capsys, [*base, "--method", "wizard"], "unknown method 'wizard'", "multilat")
    fails(capsys, [*base, "--method", "multilat", "--setup", "3c"], "setup '3c'", "1a")
    options = json.dumps({"options": {"drawz": 3}})
    fails(capsys, [*base, "--method", "multilat", "--options", options], "drawz", "draws")
    fails(capsys, ["predict", "--method", "multilat"], "--frames")
    assert not out.exists()


def test_too_few_microphones(tmp_path, capsys) -> None:
    anechoic_frames(3, mics=LUVIRA_MICS[:4]).save(tmp_path / "few")
    out = tmp_path / "p.parquet"
    arguments = ["predict", "--method", "multilat_plus", "--frames", tmp_path / "few", "--out", out]
    fails(capsys, arguments, "at least 5 microphones, got 4")
    assert not out.exists()
    assert cli.main([str(a) for a in arguments] + ["--refusal-as-na"]) == 0


def test_bad_frames(stored, tmp_path, capsys) -> None:
    base = ["predict", "--method", "center", "--out", tmp_path / "p.parquet", "--frames"]
    fails(capsys, [*base, tmp_path / "none"], "no such Frames folder")
    np.save(stored / "mic_positions.npy", np.zeros((4, 3)))
    fails(capsys, [*base, stored], "mic_positions", "(4, 3)")
    (stored / "mic_positions.npy").unlink()
    fails(capsys, [*base, stored], "mic_positions.npy", "missing")


def test_nan_and_silent_audio_give_failures_not_crashes(tmp_path) -> None:
    frames = anechoic_frames(6)
    frames.audio[1] = 0
    frames.audio[2] = np.nan
    frames.audio[3, 2] = np.nan
    frames.save(tmp_path / "f")
    for method in ("multilat", "multilat_plus", "srp_phat", "tdoa_grid", "nlls", "linear_ls"):
        out = tmp_path / f"{method}.parquet"
        assert (
            cli.main(
                ["predict", "--method", method, "--frames", str(tmp_path / "f"), "--out", str(out)]
            )
            == 0
        )
        position = pd.read_parquet(out)[["x", "y", "z"]].to_numpy()
        assert np.isnan(position[2]).all(), method
        error = np.linalg.norm(position[[0, 4, 5]] - frames.source_position[[0, 4, 5]], axis=1)
        assert (error < 0.3).all(), method
        if method in ("multilat_plus", "srp_phat"):
            assert np.linalg.norm(position[3] - frames.source_position[3]) < 0.3


@pytest.mark.parametrize(("rate", "suffix"), [(16000, "wav"), (48000, "wav")])
def test_locate_a_multichannel_recording(tmp_path, mics, rate: int, suffix: str) -> None:
    sound, source = recording(rate=rate)
    soundfile.write(tmp_path / f"rec.{suffix}", sound, rate)
    out, plot = tmp_path / "positions.csv", tmp_path / "track.png"
    arguments = ["locate", "--method", "multilat_plus", "--mics", mics, "--out", out]
    arguments += ["--audio", tmp_path / f"rec.{suffix}", "--plot", plot]
    assert cli.main([str(a) for a in arguments]) == 0
    table = pd.read_csv(out)
    assert list(table.columns[:5]) == ["time_s", "x", "y", "z", "status"]
    assert np.abs(table[["x", "y", "z"]].to_numpy() - source).max() < 0.03
    assert plot.stat().st_size > 5000


def test_locate_one_file_per_microphone(tmp_path, mics) -> None:
    sound, source = recording()
    files = []
    for k in reversed(range(11)):
        files.append(tmp_path / f"m{k}.{'wav' if k % 2 else 'flac'}")
        soundfile.write(files[-1], sound[:, k], 16000)
    out = tmp_path / "p.csv"
    arguments = ["locate", "--method", "srp_phat", "--mics", mics, "--out", out, "--audio", *files]
    assert cli.main([str(a) for a in arguments]) == 0
    assert np.abs(pd.read_csv(out)[["x", "y", "z"]].to_numpy() - source).max() < 0.03


def test_locate_refuses_bad_recordings(tmp_path, mics, capsys) -> None:
    sound, _ = recording()
    out = tmp_path / "p.csv"
    base = ["locate", "--method", "multilat_plus", "--mics", mics, "--out", out, "--audio"]
    for k in range(11):
        soundfile.write(tmp_path / f"m{k}.wav", sound[:, k], 16000)
    files = [tmp_path / f"m{k}.wav" for k in range(11)]
    soundfile.write(files[3], sound[:, 3], 8000)
    fails(capsys, [*base, *files], "sample rates differ")
    fails(capsys, [*base, *files[:10]], "no file for ['m10']")
    soundfile.write(tmp_path / "ten.wav", sound[:, :10], 16000)
    fails(capsys, [*base, tmp_path / "ten.wav"], "10 channels, expected 11")
    bad = sound.copy()
    bad[500, 2] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 16000, subtype="FLOAT")
    fails(capsys, [*base, tmp_path / "nan.wav"], "nan.wav", "NaN")
    soundfile.write(tmp_path / "whole.wav", sound, 16000)
    cut = tmp_path / "cut.wav"
    cut.write_bytes((tmp_path / "whole.wav").read_bytes()[:100_000])
    fails(capsys, [*base, cut], "cut.wav", "truncated")
    soundfile.write(tmp_path / "m3.flac", sound[:, 3], 16000)
    flac = tmp_path / "m3.flac"
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    fails(capsys, [*base, *files[:3], flac, *files[4:]], "m3.flac")
    fails(capsys, [*base, tmp_path / "none.wav"], "none.wav", "no such")
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("name,x,y,z", "mic,x,y,z"), ["line 1", "name,x,y,z"]),
        (lambda t: t.replace("m2,", "m1,"), ["line 4", "'m1'", "twice"]),
        (lambda t: t.replace("m2,1.327957", "m2,left"), ["line 4", "not numbers"]),
        (lambda t: t.replace("m2,1.327957,", "m2,"), ["line 4", "3 cells"]),
        (lambda t: t.replace("\nm2,", "\n\nm2,"), ["line 4", "empty row"]),
        (lambda t: t.replace("m2,1.327957", "m2,inf"), ["line 4", "not finite"]),
        (lambda t: "\n".join(t.splitlines()[:-1]) + "\n", ["11 channels, expected 10"]),
        (lambda t: "name,x,y,z\n", ["no microphones"]),
    ],
)
def test_locate_refuses_bad_microphone_lists(tmp_path, mics, capsys, change, words) -> None:
    mics.write_text(change(mics.read_text()))
    soundfile.write(tmp_path / "r.wav", recording()[0], 16000)
    arguments = [
        "locate",
        "--method",
        "multilat_plus",
        "--mics",
        mics,
        "--audio",
        tmp_path / "r.wav",
    ]
    fails(capsys, [*arguments, "--out", tmp_path / "p.csv"], *words)


def test_unwritable_output(stored, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["predict", "--method", "center", "--frames", stored]
    fails(capsys, [*arguments, "--out", tmp_path / "file" / "p.parquet"], "cannot write")
    fails(capsys, [*arguments, "--out", "/proc/p.parquet"], "cannot write")


def test_simulate_refuses_bad_config_and_empty_corpus(tmp_path, capsys) -> None:
    corpus = tmp_path / "speech"
    sound = ["--kind", "speech", "--source", "synthetic", "--cache", tmp_path, "--out", corpus]
    options = json.dumps({"voices": 4, "utterances_per_voice": 2})
    assert cli.main([str(a) for a in ["prepare", *sound, "--options", options]]) == 0
    capsys.readouterr()
    base = ["simulate", "--dataset", "six_faces", "--track", "test", "--sound", f"speech={corpus}"]
    base += ["--out", tmp_path / "frames", "--options"]

    def given(**values: object) -> str:
        return json.dumps({"options": {"test": 4, "max_order": 1} | values})

    fails(capsys, [*base, given(t60_high_s=0)], "t60_high_s: 0", "above 0 to 10 s")
    fails(capsys, [*base, given(test_t60_s=[-0.1])], "t60_s: -0.1")
    fails(capsys, [*base, given(tset=3)], "unknown key 'tset'", "'test'")
    fails(capsys, [*base, given(test="many")], "test", "'many' is not a number")
    fails(capsys, [*base, given(room=[5, 5, -2])], "room")
    fails(capsys, [*base[:4], "nowhere", *base[5:], given()], "no track 'nowhere'", "train")
    twin = ["simulate", "--dataset", "luvira_twin", "--track", "speech1", "--out", tmp_path / "t"]
    twin += ["--sound", f"speech={corpus}", "--sound", f"music={corpus}", "--options"]
    small = json.dumps({"options": {"seconds": 1, "room": [3, 3, 2]}})
    fails(capsys, [*twin, small], "smaller than the array")
    zero = json.dumps({"options": {"seconds": 1, "t60_s": 0}})
    fails(capsys, [*twin, zero], "t60_s: 0", "above 0 to 10 s")
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments = ["prepare", "--kind", "speech", "--source", "librispeech", "--cache", tmp_path]
    arguments += ["--options", json.dumps({"root": str(empty)}), "--out", tmp_path / "c"]
    fails(capsys, arguments, str(empty))
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "frames").exists()


def test_help_lists_every_command_in_one_group(capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    listed = re.findall(r"^  ([a-z-]+)  +\S", shown, re.MULTILINE)
    assert {"locate", "own-room", "evaluate", "train", "simulate", "publish"} <= set(listed)
    assert sum(map(len, cli.GROUPS.values())) == len(set(listed) - {"-h", "--version"})
    for title in cli.GROUPS:
        assert f"{title}:" in shown


def test_how_results_are_read_is_said_alike_everywhere(root, capsys) -> None:
    """Setups, the cap of 3 m, failures: in the README and in the help; in the report too."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    for shown in (capsys.readouterr().out, (root / "README.md").read_text().replace("`", "")):
        assert READING in " ".join(shown.split())


def test_config_gives_seed_and_entries_and_options_go_over_it(stored, tmp_path) -> None:
    given = {"seed": 3, "methods": {"mine": {"like": "multilat", "options": {"draws": 7}}}}
    (tmp_path / "mine.yaml").write_text(json.dumps(given))
    plan = tmp_path / "plan.json"
    config.save(config.load(tmp_path / "mine.yaml"), plan)
    out = tmp_path / "p.parquet"
    base = ["predict", "--method", "mine", "--frames", str(stored), "--out", str(out), "--config"]
    for file in (tmp_path / "mine.yaml", plan):
        assert cli.main([*base, str(file)]) == 0
        meta = predictions.load(out).meta
        assert (meta["method"], meta["seed"], meta["options"]["draws"]) == ("mine", 3, 7)
        assert meta["control"] is False
    over = ["--seed", "4", "--options", '{"options": {"peaks": 2}}']
    assert cli.main([*base, str(plan), *over]) == 0
    meta = predictions.load(out).meta
    assert (meta["seed"], meta["options"]["draws"], meta["options"]["peaks"]) == (4, 7, 2)
    assert cli.main([*base[:2], "oracle", *base[3:-1]]) == 0  # the shipped entry
    assert predictions.load(out).meta["control"] is True


def test_reporting_needs_a_config_that_has_the_name(tmp_path, capsys) -> None:
    base = ["tables", "--table", "table9", "--metrics", "m.csv", "--out", tmp_path / "t"]
    fails(capsys, base, "--config FILE is needed")
    (tmp_path / "plan.json").write_text("{}")
    fails(capsys, [*base, "--config", tmp_path / "plan.json"], "no plan of a run")
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    fails(capsys, [*base, "--config", tmp_path / "c.yaml"], "unknown table 'table9'", "table7")
    fault = ["fault", "--fault", "moved", "--level", "1", "--frames", "f", "--out", tmp_path / "f"]
    fails(capsys, fault, "--fault moved", "--config")


def test_lists(capsys) -> None:
    assert cli.main(["methods"]) == 0
    assert "multilat_plus" in capsys.readouterr().out
    assert cli.main(["datasets"]) == 0
    assert "luvira_twin" in capsys.readouterr().out


def test_log_holds_what_was_said_and_errors(stored, tmp_path, capsys) -> None:
    log = tmp_path / "logs" / "x.log"
    arguments = ["predict", "--method", "center", "--frames", str(stored), "--log", str(log)]
    assert cli.main([*arguments, "--out", str(tmp_path / "p.parquet")]) == 0
    assert "frames/s" in log.read_text()
    assert cli.main([*arguments, "--setup", "9z", "--out", str(tmp_path / "p.parquet")]) == 2
    assert "setup '9z'" in log.read_text()
    assert os.listdir(tmp_path / "logs") == ["x.log"]
