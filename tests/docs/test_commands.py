"""Every command that a page shows: the parser of its program accepts it, and a test runs it."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.frames import anechoic_frames
from helpers.pages import FILE, all_pages, named, shown, steps
from wavloc import __version__, cli, config
from wavloc.plan import Plan

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in all_pages(ROOT)}
LINES = [(page, line) for page, text in PAGES.items() for line in shown(text)]
# Pages that another test follows to the letter.
FOLLOWED = {
    "docs/own_room.md": "test_own_room.py",
    "docs/add_a_method.md": "test_adding.py",
    "docs/add_a_dataset.md": "test_adding.py",
    "docs/birds.md": "test_examples.py",
    "examples/method-package/README.md": "../evaluation/test_submission.py",
}
# Commands that no test types as they are shown, and what is tried instead.
NOT_TYPED = {
    "pip install": "test_wheel.py installs the wheel",
    "make": ".ci/run types lint, docs and test; what others do is tried in tests/workflow",
    "snakemake": "takes long; test_workflow.py runs this DAG at the smallest size",
    "dvc": "test_dvc.py runs repro, push and pull on a small run",
    "python benchmarks/learning_curves.py": "takes minutes to hours",
    "python benchmarks/gpu_quarter_hour.py": "takes minutes; test_quarter_hour.py is quick",
    "python benchmarks/classical_confidence.py": "measures, in minutes",
    "wavloc download": "from another machine; tests/datasets download from a local server",
    "wavloc simulate --dataset luvira": "needs the recordings; tests/datasets read small ones",
    "wavloc train": "hours at this size; tests/training train small ones",
    "wavloc predict --method gnn": "needs that training; test_workflow.py predicts with small ones",
    "wavloc locate --method gnn": "needs that training; test_own_room.py locates with a small one",
    "wavloc import-checkpoint": "needs a published file; tests/checkpoints make one",
    "wavloc predict --method multilat_ngcc": "needs that file; tests/checkpoints",
    "wavloc parity": "needs that file; tests/checkpoints",
    "arecord": "records; another test here gives it a recording",
    "tar": "test_wheel.py unpacks the sdist and plans a run there",
    "cd": "the same",
}
OTHERS = {"arecord", "cd", "pytest"}


class Accepted(Exception):
    """The arguments of a script were read."""


# ------------------------------------------------------------------ parsed


def accept_wavloc(words: list[str]) -> None:
    elided = words[:1] == ["locate"] and "--mics" not in words
    given = [*words, "--mics", "m", "--audio", "a"] if elided else words
    cli._parser().parse_args(given)  # an `InputError` names what it does not know


def accept_snakemake(words: list[str], page: str) -> None:
    from snakemake.cli import get_argument_parser

    args = get_argument_parser().parse_args(words)
    own = {name for name, _ in FILE.findall(PAGES[page])}
    own |= {word for _, line in LINES for word in line.split() if re.search(r"^config/my_", word)}
    files = [Path(file) for file in args.configfile or ()]
    assert all((ROOT / file).is_file() or str(file) in own for file in files), files
    shipped = [ROOT / file for file in files if (ROOT / file).is_file()]
    plan = Plan(config.load(ROOT / "config/config.yaml", *shipped))
    rules = "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk"))
    rules += (ROOT / "Snakefile").read_text()
    targets = {*re.findall(r"^rule (\w+):", rules, re.M), *plan.experiments}
    tables = re.findall(r"^  (table_\w+):", PAGES[page], re.M)
    for target in args.targets:
        assert target in {*targets, *tables} or target.startswith(plan.results), target
    if args.workflow_profile:
        assert (ROOT / args.workflow_profile / "config.yaml").is_file()


def accept_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {word for word in words if "=" not in word} <= set(targets)


def accept_python(words: list[str], page: str) -> None:
    script = Path(words[0])
    if script.name in {name for name, _ in FILE.findall(PAGES[page])}:
        return
    if script.name == "run.py":
        return accept_snakemake(words[1:], page)
    read = argparse.ArgumentParser.parse_args

    def parse_args(self, args=None, namespace=None):
        read(self, args, namespace)
        raise Accepted

    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(ROOT / script.parent))
        module = importlib.import_module(script.stem)
        assert Path(module.__file__) == ROOT / script
        patched.setattr(sys, "argv", words)
        patched.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(Accepted):
            module.main()


def accept_pip(words: list[str]) -> None:
    assert words[0] == "install"
    tables = (ROOT / "pyproject.toml").read_text()
    for word in words[1 : words.index("--index-url") if "--index-url" in words else None]:
        wheel, _, extra = word.partition("[")
        if wheel == f"wavloc-{__version__}-py3-none-any.whl":
            assert not extra or re.search(rf"^{extra[:-1]} = \[", tables, re.M)
        else:
            assert word.startswith(".") or f'"{word}"' in tables, word


def accept(words: list[str], page: str) -> None:
    program, *given = words
    if program == "wavloc":
        accept_wavloc(given)
    elif program == "snakemake":
        accept_snakemake(given, page)
    elif program == "make":
        accept_make(given)
    elif program == "python":
        accept_python(given, page)
    elif program == "pip":
        accept_pip(given)
    elif program == "tar":
        assert given[-1] == f"wavloc-{__version__}.tar.gz"
    elif program == "dvc":
        from dvc.cli.parser import get_main_parser

        get_main_parser().parse_args(given)
    else:
        assert program in OTHERS, f"{page}: {words}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_blocks_are_accepted(page: str) -> None:
    for line in shown(PAGES[page]):
        for words in steps(line):
            accept(words, page)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_are_known(page: str) -> None:
    parser = cli._parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for program, *words in named(PAGES[page]):
        if program == "wavloc" and words and words[0] not in ("COMMAND", "--help", "--version"):
            assert words[0] in commands.choices, words
            options = commands.choices[words[0]]._option_string_actions
            assert {word for word in words if word.startswith("--")} <= options.keys(), words
        elif program == "python" and words and words[0].endswith(".py"):
            accept_python(words, page)
        elif program in ("make", "dvc", "pip", "snakemake") and words:
            accept([program, *words], page)


# ------------------------------------------------------------------ run


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that pages speak of, under the names that they have there."""
    desk = tmp_path_factory.mktemp("desk")
    room = ROOT / "examples" / "room"
    sound, rate = soundfile.read(room / "walk.flac", start=32_000, frames=20_000)
    (desk / "mics.csv").write_text((room / "mics.csv").read_text())
    soundfile.write(desk / "recording.wav", sound, rate)
    for name, channel in zip(pd.read_csv(desk / "mics.csv")["name"], sound.T, strict=True):
        soundfile.write(desk / f"{name}.wav", channel, rate)
    (desk / "labels.txt").write_text("0.2\t0.6\tword\n")
    frames = anechoic_frames(6)
    frames.save(desk / "FRAMES")
    arrays = {"audio": frames.audio, "mic_positions": frames.mic_positions}
    arrays |= {"source_position": frames.source_position, "sample_rate": frames.sample_rate}
    np.savez(desk / "my_frames.npz", **arrays)
    positions = pd.DataFrame(frames.source_position, columns=[*"xyz"])
    positions.to_csv(desk / "other_program.csv", index=False)
    (desk / "config").mkdir()
    config.save(config.load(ROOT / "config/config.yaml"), desk / "results/plan.json")
    made = f"simulate --dataset lund12 --track chirps --out {desk}/results/data/lund12/chirps"
    assert cli.main(made.split()) == 0
    return desk


def run_here() -> dict[str, list[list[str]]]:
    """Page -> its commands of wavloc that are run here, each on the first page that shows it."""
    found: dict[str, list[list[str]]] = {}
    seen: list[list[str]] = []
    for page, line in LINES:
        if page in FOLLOWED or line.startswith(tuple(NOT_TYPED)):
            continue
        for words in steps(line):
            if words[0] == "wavloc" and words not in seen:
                seen.append(words)
                found.setdefault(page, []).append(words)
    return found


@pytest.mark.parametrize(("page", "commands"), run_here().items())
def test_commands_of_seconds_do_what_they_say(
    page: str,
    commands: list[list[str]],
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(desk)
    for _, *words in commands:
        if words[0] == "locate" and "--mics" not in words:
            words += ["--mics", "mics.csv", "--audio", "recording.wav"]
        if "window.wav" in words:  # and so on
            at = words.index("window.wav") + 1
            words[at:at] = [f"{name}.wav" for name in pd.read_csv("mics.csv")["name"][2:]]
        assert cli.main(words) == 0, capfd.readouterr().err
        for option in ("--out", "--plot"):
            if option in words:
                assert Path(words[words.index(option) + 1]).exists(), words


def test_the_stream_of_a_page_is_located(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    (line,) = (line for _, line in LINES if line.startswith("arecord"))
    _, words = steps(line)
    reading, writing = os.pipe()
    sent = (desk / "recording.wav").read_bytes()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb") as pipe:
        writer = threading.Thread(target=lambda: (pipe.write(sent), pipe.close()))
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.chdir(desk)
        writer.start()
        assert cli.main(words[1:]) == 0
        writer.join()
    table = pd.read_csv(io.StringIO(capfd.readouterr().out))
    assert (table["status"] == "ok").any()


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    """Each command of a page is run here, by the test of its page, or tried as `NOT_TYPED` says."""
    used = set()
    for page, line in LINES:
        if page in FOLLOWED:
            continue
        begin = next((key for key in NOT_TYPED if line.startswith((key, f"nice {key}"))), None)
        used.add(begin)
        assert begin or line.startswith("wavloc"), f"{page}: {line}"
    assert used - {None} == NOT_TYPED.keys()
    for page, test in FOLLOWED.items():
        assert Path(page).stem in (Path(__file__).parent / test).read_text() or "README" in page
