"""Commands that must fail: one line that helps, soon, and nothing is left behind or changed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from helpers.frames import anechoic_frames
from wavloc import cli
from wavloc.frames import Frames
from wavloc.geometry import LUVIRA_MICS
from wavloc.methods.predictions import Predictions

P = "predict --frames f --out p.parquet --method"
L = "locate --method srp_phat --mics mics.csv --audio r.wav --out p.csv"
E = "evaluate --frames f --predictions good.parquet"
T = "train --method gnn --train f --out m --options"
SMALL = """'{"options": {"epochs": 1, "hidden_dim": 4, "lags": 16, "batch": 2}}'"""
S = "simulate --dataset six_faces --track test --sound speech=corpus --out s --options"
O = "own-room --mics mics.csv --room 9 9 3 --corner -4.5 -4.5 0 --out mine.yaml"  # noqa: E741
D = "download x --cache cache --entry"

# (command, words of the message)
COMMANDS = [
    # outputs
    *((f"predict --frames f --method center --out {out}", words) for out, words in (
        ("thesis", "expected a name that ends"), ("thesis.csv", "it is a folder"),
        (".", "expected a name"), ("..", "expected a name"), ("/", "expected a name"),
        ("''", "expected a name"), ("p", "expected a name that ends in .parquet or .csv"),
        ("p.txt", "expected a name that ends in .parquet or .csv"),
        ("file/p.csv", "cannot write"), ("/proc/p.csv", "cannot write"),
        ("/dev/full", "expected a name"), ("lost.csv", "a link to"), ("loop.csv", "cannot write"),
        ("x" * 300 + ".csv", "File name too long"),
    )),
    *((f"locate --method center --mics mics.csv --audio r.wav --out {out}", "cannot write")
      for out in ("thesis", ".", "..", "/", "/dev/full", "/dev/null", "file/p.csv", "/sys/p.csv")),
    *((f"{L} --plot {plot}", words) for plot, words in (
        ("track", "expected a name that ends in"), ("track.jpeg2", "expected a name that ends in"),
        ("thesis", "it is a folder"), ("p.csv", "expected a name that ends in"),
        ("/proc/t.png", "cannot write"), ("thesis.png", "it is a folder"),
    )),
    *((f"train --method gnn --train f --out {out} --options {SMALL}", "cannot write")
      for out in ("thesis", ".", "..", "/", "file", "file/m", "/dev/null", "thesis/..", "/proc/m")),
    *((f"{command} --out {out}", "cannot write")
      for command in ("subset --frames f --mics 4", f"{E} --resamples 1000",
                      "rank --frames d/t=f --predictions d/t/m=good.parquet")
      for out in ("thesis", "..", "/dev/full", "file/x", "lost.csv")),
    *((f"{command} --out {out}", "cannot write")
      for command in ("fault --frames f --kind dead --level 1",
                      "mix --frames f --partners f --sources 1",
                      "prepare --kind music --source synthetic --options {}")
      for out in ("thesis", "..", "file", "/proc/x", "lost.csv")),
    # outputs are looked at before inputs are
    *((f"{command} --out {out}", f"cannot write {out}") for command in (
        "evaluate --frames none --predictions none", "properties --methods x --frames none",
        "costs --predictions none", "counts --frames t=none", "summary --tables none",
        "rank --frames d/t=none --predictions d/t/m=none", "report --results none",
        "tables --table none --metrics none", "figures --figure none", "publish --config seed.yaml",
        "reproduction --tables none", "own-room --mics none --room 1 1 1",
        "single-frames --frames none --predictions m=none",
        "locate --method none --mics none --audio none",
      ) for out in ("thesis", "file/x")),
    *((f"{command} --out -", "standard output") for command in (
        "subset --frames f --mics 4", "fault --frames f --kind dead --level 1", f"{T} {SMALL}",
        "report", "own-room --mics mics.csv --room 9 9 3", "publish --config seed.yaml")),
    *((f"example birds --out {out}", "cannot write")
      for out in ("thesis", "..", "file", "/proc/x")),
    ("example whales", "whales"),
    *((f"submit-check --frames f --predictions good.parquet --out {out}", "cannot write")
      for out in ("thesis", "..", "file", "/proc/x")),
    ("submit-check --frames f --predictions good.parquet --name ../up --out s", "--name"),
    ("submit-check --frames f --predictions none.csv --out s", "no such predictions file"),
    ("leaderboard --frames f --submissions empty --out l.html", "no folder with submission.json"),
    ("leaderboard --frames f --submissions empty --out thesis", "it is a folder"),
    (f"{P} center --out -", "expected a name that ends in .parquet or .csv"),
    (f"{L} --plot -", "standard output"),
    ("predict --method wav2pos --frames f --audio --out p.csv", "expected --out NAME.parquet"),
    (f"{P} center --audio", "reconstructs no signals"),
    (f"{P} center --log thesis", "it is a folder"),
    (f"{P} center --log file/log", "cannot write"),
    # numbers
    *((f"{L} --hop {value}", "from 0.001 to 3,600 s")
      for value in ("0", "-1", "nan", "inf", "1e12", "fast", "''")),
    *((f"{L} --speed-of-sound {value}", "m/s")
      for value in ("0", "-343", "5", "nan", "inf", "34300", "1500", "c")),
    *((f"{L} --silence-db {value}", "from 0 to 200 dB") for value in ("-1", "nan", "inf", "loud")),
    *((f"{P} center --seed {value}", "expected a whole number")
      for value in ("-1", "nan", "1.5", "1e400", "one", str(10**30))),
    *((f"{P} gnn --threads {value}", "from 1 to 1,024") for value in ("0", "-1", "nan", "1e9")),
    *((f"{E} --block {value}", "whole number") for value in ("0", "-1", "1e12", "nan")),
    *((f"{E} --resamples {value}", "from 1,000") for value in ("0", "-5", "1e9", "many")),
    *((f"subset --frames f --out s.npy --mics {value}", "expected") for value in (0, -1, 12, "x")),
    *((f"{T} {SMALL} --minutes {value}", "to 10,000,000 min") for value in ("nan", "-1", "inf")),
    *((f"{T} {SMALL} --{name} {value}", "expected") for name, value in (
        ("save-every", "nan"), ("save-every", "-1"), ("accumulate", "0"), ("mics", "-1"),
        ("device", "mps:9"), ("device", "toaster"), ("precision", "float7"))),
    *((f"fault --frames f --kind moved --out g --level {value}", "from 0 to 1,000,000")
      for value in ("nan", "-1", "inf", "x")),
    *((f"{P} {method} --options '{{\"options\": {{\"{name}\": {value}}}}}'", name)
      for method, name, value in (
        ("srp_phat", "spacing_m", -1), ("srp_phat", "spacing_m", 0), ("srp_phat", "block", 0),
        ("multilat", "peaks", 0), ("multilat", "peaks", 1.5), ("multilat", "draws", -3),
        ("multilat", "inlier_m", "NaN"), ("gnn", "hidden_dim", 0), ("gnn", "copies", -1),
        ("gnn", "epochs", 1e300), ("gnn", "learning_rate", "Infinity"), ("gnn", "batch", "true"),
        ("multilat", "drawz", 3), ("multilat", "draws", '"many"'))),
    *((f"{S} '{{\"options\": {{\"{name}\": {value}}}}}'", f"datasets.six_faces.options.{name}")
      for name, value in (
        ("room", "[5, 5]"), ("room", "[5, 5, NaN]"), ("room", '"big"'), ("source_low", "[9, 9, 9]"),
        ("test_t60_s", "[-1]"), ("test_t60_s", "[]"), ("test_snr_db", "[Infinity]"),
        ("test", 0), ("test", 1e300), ("train", "true"), ("max_order", -1), ("margin", -1))),
    *((f"{O} {more}", "expected") for more in (
        "--snr nan", "--snr loud", "--t60 -1", "--t60 nan", "--heights 1 inf", "--t60 0.1 0.2 1")),
    ("own-room --mics mics.csv --room 9 9 --out mine.yaml", "--room"),
    ("own-room --mics mics.csv --room 9 9 nan --out mine.yaml", "above 0 to 500 m"),
    ("own-room --mics mics.csv --room 9000 9000 3000 --out mine.yaml", "above 0 to 500 m"),
    ("own-room --mics mics.csv --room 9 9 3 --corner -4.5 -4.5 0 --out data.yaml", "--out"),
    # options and names
    (f"{P} gnn --options '{{\"epochs\": 1}}'", '{"options": {"epochs": ...}}'),
    (f"{T} '{{\"epochs\": 1}}'", '{"options": {"epochs": ...}}'),
    (f"{S} '{{\"test\": 4}}'", '{"options": {"test": ...}}'),
    (f"{P} center --options 5", "5: No such file"),
    (f"{P} center --options '[1]'", "expected names and values"),
    (f"{P} center --options '{{'", "not valid JSON"),
    (f"{P} center --options '{{\"options\": 3}}'", "expected names and values"),
    (f"{P} wizard", "unknown method 'wizard'"),
    (f"{P} ../../center", "unknown method"),
    (f"{P} center --setup banana", "setup 'banana'"),
    (f"{E} --setup banana", "banana"),
    (f"{E} --kind banana", "evaluation kind 'banana'"),
    (f"{E} --by colour --kind conditions", "no column 'colour'"),
    ("fault --frames f --kind rotten --level 1 --out g", "rotten"),
    (f"{P} gnn", "must be trained first"),
    (f"{P} center --config none.yaml", "none.yaml"),
    (f"{P} center --config utf16.yaml", "not valid YAML"),
    (f"{P} center --config pipe", "not a regular file"),
    (f"{P} center --config hello.yaml", "methods.gnn: 'hello'"),
    (f"{P} center --config list.yaml", "expected keys and values"),
    ("report --results empty --out r.html", "--config FILE is needed"),
    ("single-frames --frames f --predictions m=good.parquet --out h.html", "--config FILE is"),
    *((f"single-frames {given} --config seed.yaml --out h.html", words) for given, words in (
        ("--frames none --predictions steered=good.parquet", "no such Frames folder"),
        ("--frames f --predictions steered=none.csv", "no such predictions file"),
        ("--frames f --predictions steered=five.csv", "5 rows, expected one per frame (6)"),
        ("--frames f --predictions nlls=good.parquet", "missing: 'steered', expected one of nlls"),
        ("--frames f --predictions gnu=good.parquet", "no row of the table: 'gnu'"),
        ("--frames f --predictions good.parquet", "expected NAME=PATH"))),
    ("frobnicate", "frobnicate"),
    # frames
    *((f"predict --out p.parquet --method center --frames {frames}", words) for frames, words in (
        ("none", "no such Frames folder"), ("file", "no such Frames folder"),
        ("empty", "meta.json: no such file"), ("array.npz", "not readable as .npz"),
        ("huge.npz", "not readable as .npz"), ("pipes", "not a regular file"),
        ("mm.npz", "millimetres"), ("nan.npz", "three finite numbers"), ("rate.npz", "rate: 1"),
        ("short.npz", "1 samples a frame"), ("room.npz", "room: 'big'"),
        ("slow.npz", "from 300 to 370 m/s in air"))),
    (f"{P} center --subset negative.npy", "microphone -1"),
    (f"{P} center --subset twice.npy", "a microphone twice"),
    (f"{P} center --subset file", "not readable as an array"),
    ("predict --frames line.npz --out p.parquet --method srp_phat", "on a line"),
    ("predict --frames same.npz --out p.parquet --method multilat", "at the same place"),
    ("predict --frames bare.npz --out p.parquet --method multilat --setup 1b", "no source audio"),
    (f"train --method gnn --train bare.npz --out m --options {SMALL}", "--valid"),
    # recordings
    *((f"locate --method srp_phat --mics mics.csv --out p.csv --audio {audio}", words)
      for audio, words in (
        ("none.wav", "no such audio"), ("file", "not readable as audio"), ("cut.WAVE", "truncated"),
        ("cut.w64", "truncated"), ("cut.rf64", "truncated"), ("halved.wav", "damaged"),
        ("onehz.wav", "rate: 1"), ("fast.wav", "rate: 2147483647"), ("empty.wav", "0 of 0"),
        ("pipe", "no such audio"), ("r.wav r.wav", "do not match"))),
    ("locate --method srp_phat --mics mm.csv --audio r.wav --out p.csv", "millimetres"),
    *((f"locate --method srp_phat --mics {mics} --audio r.wav --out p.csv", words)
      for mics, words in (
        ("none.csv", "none.csv"), ("pipe", "not a regular file"), ("thesis", "not a regular file"),
        ("/dev/zero", "not a regular file"), ("wide.csv", "field limit"))),
    ("locate --method oracle --mics mics.csv --audio r.wav --out p.csv", "needs the true pos"),
    (f"{L} --plot p.csv/t.png", "is --out too"),
    # predictions and models
    *((f"evaluate --frames f --predictions {file}", words) for file, words in (
        ("none.parquet", "no such predictions"), ("file", "column 'x' is missing"),
        ("torn.parquet", "does not belong"), ("five.csv", "5 rows, expected one per frame (6)"),
        ("dates.parquet", "must be numbers"), ("pipe", "no such predictions"),
        ("twice.csv", "5 of the 6 frames"), ("words.csv", "must be numbers"),
        ("good.parquet good.parquet", "a second predictions file"))),
    *((f"{E} --subset {name} --setup 2a", words) for name, words in (
        ("none.npy", "none.npy"), ("other.npy", "does not fit"), ("pipe", "not a regular file"))),
    *((f"predict --frames f --out p.parquet --method gnn --model {name}", words)
      for name, words in (("file", "file"), ("thesis", "method.json: no such file"))),
    ("tables --table table1 --metrics pipe --out t --config seed.yaml", "not a regular file"),
    ("tables --table table1 --metrics mics.csv --out t --config seed.yaml", "column"),
    ("report --results empty --out r.html --config seed.yaml", "missing"),
    ("summary --tables mics.csv --out r.json", "column"),
    ("costs --predictions good.parquet --models gnn=wrong --out c.csv", "expected names and"),
    ("tables --table table1 --metrics mics.csv --models gnn=wrong --out t --config seed.yaml",
     "expected names and values"),
    ("tables --table table1 --metrics mics.csv --models xxx=gnn --out t --config seed.yaml", "xxx"),
    *((f"{command} --config plan.json", "no plan of a run") for command in (
        f"{P} center", "publish --out pub", "methods", "report --out r.html")),
    *((f"{P} {method} --options '{{\"options\": {{{options}}}}}'", words)
      for method, options, words in (
        ("multilat_plus", '"peaks": 9', "rank_priors"),
        ("srp_phat", '"low_hz": 9000', "less than high_hz"),
        ("srp_phat", '"spacing_m": 1e-9', "not enough memory"))),
    ("train --method wav2pos --train f --out m --options '{\"options\": {\"head_hidden\": [4]}}'",
     "head_hidden"),
    ("mix --frames f --partners f --sources 99 --out g", "from 1 to 16"),
    (f"{P} center --config bomb.yaml", "expected names and entries"),
    (f"{P} center --config tag.yaml", "not valid YAML"),
    ("download luvira --cache fresh --offline", "offline"),
    ("parity array.npz", "array.npz"),
    ("parity bare.npz", "bare.npz"),
    ("prepare --kind speech --source folder --out c", "needs the option root"),
    ("prepare --kind speech --source synthetic --out c --options '{\"voices\": \"x\"}'", "voices"),
    ("prepare --kind music --source synthetic --out c --options '{\"songz\": 1}'", "songz"),
    ("predict --frames wide.npz --out p.parquet --method gnn --model gnn", "a far wider array"),
    (f"{P} gnn --model none", "no such model folder"),
    (f"{P} gnn --model empty", "method.json: no such file"),
    (f"{P} gnn --model wrong", "not a model description"),
    (f"{P} wav2pos --model gnn", "a model of 'gnn'"),
    (f"{P} gnn --model flipped", "weights.safetensors"),
    (f"{T} {SMALL} --start none", "no such model folder"),
    ("import-checkpoint file --out m", "not readable as a torch checkpoint"),
    ("parity file", "file"),
    # downloads
    *((f"{D} '{json.dumps(entry)}'", words) for entry, words in (
        ({"archives": {"a.zip": None}, "urls": ["http://127.0.0.1:9"], "max_gib": "big"}, "GiB"),
        ({"archives": {"../a.zip": None}, "urls": ["http://127.0.0.1:9"]}, "plain file name"),
        ({"archives": {"a.zip": None}, "urls": "http://127.0.0.1:9"}, "a list of addresses"),
        ({"archives": 3, "urls": ["http://127.0.0.1:9"]}, "archives"),
        ({}, "needs archives"))),
    ("download ../x --cache cache --entry '{\"archives\": {\"a\": null}}'", "not a path"),
    ("download nowhere --cache cache", "unknown download"),
]  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad inputs."""
    folder = tmp_path_factory.mktemp("hostile") / "here"  # what is beside it is looked at too
    folder.mkdir()
    frames = anechoic_frames(6)
    frames.save(folder / "f")
    _bad_frames(folder, frames)
    _bad_recordings(folder)
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter1.txt").write_text("years of work")
    for name in ("thesis.csv", "thesis.png", "empty"):
        (folder / name).mkdir()
    (folder / "thesis.csv" / "data").write_text("mine")
    (folder / "file").write_text("just text, nothing else")
    (folder / "lost.csv").symlink_to(folder / "nowhere")
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    os.mkfifo(folder / "pipe")
    (folder / "utf16.yaml").write_bytes("seed: 1\n".encode("utf-16"))
    (folder / "hello.yaml").write_text("methods: {gnn: hello}\n")
    (folder / "list.yaml").write_text("[1, 2]\n")
    (folder / "seed.yaml").write_text("seed: 1\n")
    (folder / "plan.json").write_text('{"methods": 1, "tables": {}, "figures": {}}')
    (folder / "tag.yaml").write_text("seed: !!python/object/apply:os.system ['touch PWNED']\n")
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]  # a billion laughs
    for one, other in zip("abcde", "bcdef", strict=True):
        lines.append(f"{other}: &{other} [{', '.join(9 * [f'*{one}'])}]")
    (folder / "bomb.yaml").write_text("\n".join([*lines, "methods: *f", ""]))
    before = Path.cwd()
    os.chdir(folder)
    try:
        _predictions_and_models(folder, frames)
    finally:
        os.chdir(before)
    return folder


def _bad_frames(folder: Path, frames: Frames) -> None:
    good = {"audio": frames.audio, "mic_positions": LUVIRA_MICS, "sample_rate": 16000}

    def store(name: str, **changes: object) -> None:
        np.savez(folder / f"{name}.npz", **(good | changes))

    unknown = np.array(LUVIRA_MICS)
    unknown[3, 1] = np.nan
    line = np.outer(np.arange(11.0), [0.3, 0.2, 0.1])
    store("mm", mic_positions=1000 * LUVIRA_MICS)
    store("nan", mic_positions=unknown)
    store("rate", sample_rate=1)
    store("short", audio=frames.audio[..., :1])
    store("room", room="big")
    store("slow", speed_of_sound=5.0)
    store("line", mic_positions=line)
    store("same", mic_positions=np.zeros((11, 3)))
    store("wide", mic_positions=3 * LUVIRA_MICS)
    store("bare", source_position=frames.source_position)
    np.save(folder / "array.npy", frames.audio)
    (folder / "array.npy").rename(folder / "array.npz")
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10, 1024)}
    with zipfile.ZipFile(folder / "huge.npz", "w") as archive, archive.open("audio.npy", "w") as to:
        np.lib.format.write_array_header_1_0(to, header)
    (folder / "pipes").mkdir()
    os.mkfifo(folder / "pipes" / "meta.json")
    np.save(folder / "negative.npy", np.full((6, 2), [0, -1]))
    np.save(folder / "twice.npy", np.full((6, 2), 1))
    np.save(folder / "other.npy", np.full((6, 2), [0, 99]))


def _bad_recordings(folder: Path) -> None:
    def listed(scale: float) -> str:
        rows = [f"m{k},{x},{y},{z}" for k, (x, y, z) in enumerate((scale * LUVIRA_MICS).tolist())]
        return "\n".join(["name,x,y,z", *rows]) + "\n"

    (folder / "mics.csv").write_text(listed(1))
    (folder / "mm.csv").write_text(listed(1000))
    (folder / "wide.csv").write_text(listed(1) + "x" * 200_000 + ",1,2,3\n")
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, (4000, 11))
    soundfile.write(folder / "r.wav", sound, 16000)
    soundfile.write(folder / "empty.wav", sound[:0], 16000)
    for name, kind in (("cut.WAVE", "WAV"), ("cut.w64", "W64"), ("cut.rf64", "RF64")):
        soundfile.write(folder / name, sound, 16000, format=kind, subtype="PCM_16")
        (folder / name).write_bytes((folder / name).read_bytes()[:50_000])
    whole = (folder / "r.wav").read_bytes()
    for name, at, value in (
        ("halved.wav", 40, 44_000), ("onehz.wav", 24, 1), ("fast.wav", 24, 2**31 - 1)
    ):  # fmt: skip
        (folder / name).write_bytes(whole[:at] + value.to_bytes(4, "little") + whole[at + 4 :])


def _predictions_and_models(folder: Path, frames: Frames) -> None:
    def run(command: str) -> None:
        assert cli.main(shlex.split(command)) == 0, command

    run("predict --method center --frames f --out good.parquet")
    run("prepare --kind speech --source synthetic --out corpus --cache cache --options "
        '\'{"voices": 4, "utterances_per_voice": 2}\'')  # fmt: skip
    run(f"train --method gnn --train f --valid f --out gnn --options {SMALL}")
    flipped = folder / "flipped"
    flipped.mkdir()
    description = (folder / "gnn" / "method.json").read_text()
    (flipped / "method.json").write_text(description)
    weights = bytearray((folder / "gnn" / "weights.safetensors").read_bytes())
    weights[-2] ^= 1
    (flipped / "weights.safetensors").write_bytes(weights)
    (folder / "wrong").mkdir()
    (folder / "wrong" / "method.json").write_text("[1, 2]")
    table = frames.table[["frame"]].copy()
    table[["x", "y", "z"]] = 1.0
    table.iloc[:5].to_csv(folder / "five.csv", index=False)
    table.iloc[[0, 1, 2, 3, 4, 4]].to_csv(folder / "twice.csv", index=False)
    table.assign(x=pd.Timestamp("2020")).to_parquet(folder / "dates.parquet")
    table.assign(x="left").to_csv(folder / "words.csv", index=False)
    found = Predictions(np.zeros((6, 3)), np.full(6, "ok"), reliability=np.ones((6, 11)))
    found.save(folder / "torn.parquet")
    np.save(folder / "torn.reliability.npy", np.zeros((6, 11)))


def state(folder: Path) -> dict[str, str]:
    """All that is in a folder, with a digest of each file."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        regular = path.is_file() and not path.is_symlink()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
        entries[str(path.relative_to(folder))] = digest
    return entries


@pytest.mark.parametrize(("command", "words"), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_is_one_line_that_helps(workspace, monkeypatch, capsys, command: str, words: str) -> None:
    monkeypatch.chdir(workspace)
    before, started = state(workspace.parent), time.monotonic()
    code = cli.main(shlex.split(command))
    seconds, told = time.monotonic() - started, capsys.readouterr().err
    assert code in (1, 2), told
    errors = [line for line in told.splitlines() if line.startswith("wavloc: error: ")]
    assert len(errors) == 1, told
    assert "Traceback" not in told
    assert "run again with --debug" not in told, told
    assert words in errors[0], told
    assert seconds < 20
    assert state(workspace.parent) == before
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"MPLBACKEND": "nonsense"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"HOME": "/nonexistent"},
        {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/x", "XDG_CONFIG_HOME": "/proc/x"},
        {"HOME": None, "USER": None},
    ],
    ids=str,
)
def test_any_environment_will_do(workspace, tmp_path, changes: dict[str, str | None]) -> None:
    names = [str(tmp_path / name) for name in ("größe.csv", "größe.png", "protokoll-größe.txt")]
    command = [sys.executable, "-m", "wavloc.cli", *shlex.split("locate --method srp_phat")]
    command += ["--mics", "mics.csv", "--audio", "r.wav", "--hop", "0.2"]
    command += ["--out", names[0], "--plot", names[1], "--log", names[2]]
    environment = {k: v for k, v in (os.environ | changes).items() if v is not None}
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(map(str, tmp_path.iterdir())) == sorted(names)


def test_a_picture_that_fails_costs_no_table(workspace, tmp_path, monkeypatch, capsys) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(workspace)
    monkeypatch.setattr("wavloc.reporting.figures.located.located", fails)
    out = tmp_path / "p.csv"
    assert cli.main([*shlex.split(L), "--plot", str(tmp_path / "t.png"), "--out", str(out)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "wavloc: error: No space left on device"
    assert out.read_text().startswith("time_s,x,y,z,status")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
    ids=repr,
)
def test_too_little_memory_is_said(workspace, monkeypatch, capsys, error: Exception) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.chdir(workspace)
    monkeypatch.setattr("wavloc.frames.load", fails)
    assert cli.main(shlex.split(f"{P} center")) == 1
    assert capsys.readouterr().err == "wavloc: error: not enough memory\n"


def test_an_interrupted_command_leaves_nothing(workspace, monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(workspace)
    monkeypatch.setattr("pyarrow.parquet.write_table", interrupted)
    before = state(workspace)
    assert cli.main(shlex.split(f"{P} center")) == 130
    assert state(workspace) == before
    assert "interrupted" in capsys.readouterr().err
