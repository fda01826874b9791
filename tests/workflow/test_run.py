"""One run in a folder at a time, and the same command after any crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.workflow import SMOKE, environment, fresh, snakemake
from wavloc import runs

CORPUS = [*SMOKE, "results/smoke/data/corpus/speech"]
PLAIN = [sys.executable, "-m", "snakemake", "--cores", "1", *CORPUS]
RUNNER = [sys.executable, "workflow/run.py", "--cores", "1", *CORPUS]
ANOTHER = "wavloc: error: another run is at work in this folder; wait until it has ended"


def start(folder: Path, command: list[str]) -> subprocess.Popen:
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command, cwd=folder, env=environment(), text=True, start_new_session=True, **pipes
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("command", [PLAIN, RUNNER], ids=["snakemake", "run.py"])
def test_the_same_command_goes_on_after_sigkill(
    root: Path, tmp_path: Path, command: list[str]
) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    killed = start(folder, command)
    wait_for(folder / ".snakemake/locks/0.output.lock")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert (folder / ".snakemake/locks/0.output.lock").exists()
    again = start(folder, command)
    told = again.communicate()[1]
    assert again.returncode == 0, told
    assert (folder / "results/smoke/data/corpus/speech/meta.json").is_file()


def test_of_two_runs_that_start_together_one_is_refused(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    more = ["results/smoke/data/corpus/music", "results/smoke/data/luvira_twin/speech3"]
    both = [start(folder, [*command, *more]) for command in (PLAIN, RUNNER)]
    told = {run.returncode: text for run in both for text in [run.communicate()[1]]}
    assert set(told) == {0, 1}, told
    assert told[1].splitlines()[-1] == ANOTHER
    assert (folder / "results/smoke/data/luvira_twin/speech3/meta.json").is_file()


def test_beside_a_run_others_only_look(root: Path, tmp_path: Path, monkeypatch) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    monkeypatch.chdir(folder)
    with runs.begin([]):  # as a run does when it starts
        for runner, arguments in ((False, PLAIN[3:]), (True, PLAIN[3:]), (False, ["--unlock"])):
            refused = snakemake(folder, *arguments, runner=runner)
            assert refused.returncode == 1
            assert refused.stderr.splitlines()[-1] == ANOTHER
        assert snakemake(folder, "-n", *CORPUS).returncode == 0
    assert snakemake(folder, "--unlock").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "looks"),
    [
        ("-n all", True),
        ("-np -- all", True),
        ("--cores 2 --dry-run", True),
        ("--list-target-rules", True),
        ("--cores 2 all", False),
        ("--cores 2 --touch", False),
        ("--unlock", False),
        ("-c2 --report-after-run", False),
        ("-s name", False),
    ],
)
def test_looking_takes_no_lock(tmp_path, monkeypatch, arguments: str, looks: bool) -> None:
    monkeypatch.chdir(tmp_path)
    handle = runs.begin(arguments.split())
    assert (handle is None) == looks
    assert (tmp_path / ".run.lock").exists() != looks
    if handle:
        handle.close()


CONFIGS = [
    ("none.yaml", "none.yaml: No such file or directory"),
    ("config", "config: not a regular file"),
    ("utf16.yaml", "utf16.yaml: not valid YAML"),
    ("list.yaml", "list.yaml: expected keys and values"),
    ("hello.yaml", "config, methods.gnn: 'hello', expected keys and values"),
]


@pytest.mark.parametrize(("name", "words"), CONFIGS)
def test_an_unusable_config_file_is_one_line(
    root: Path, tmp_path: Path, name: str, words: str
) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    (folder / "utf16.yaml").write_bytes("seed: 1\n".encode("utf-16"))
    (folder / "list.yaml").write_text("[1, 2]\n")
    (folder / "hello.yaml").write_text("methods: {gnn: hello}\n")
    done = snakemake(
        folder, "-n", "--configfile", "config/smoke.yaml", name, "--", "all", runner=True
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert f"wavloc: error: {words}" in done.stderr.splitlines()[-1]


HOSTILE = [
    (["--cores", "0"], "--cores: 0, expected a whole number of at least 1"),
    (["--cores", "-1"], "--cores: -1, expected a whole number of at least 1"),
    (["--config", "seed=-1"], "config, seed: -1"),
    (["--config", "cache="], "config, cache: None"),
    (["--config", "luvira_root="], "config, luvira_root: None"),
    (["--config", "pathvars={results: }"], "config, pathvars.results: ''"),
    (["--config", "training={device: mps}"], "config, training.device: 'mps'"),
    (["--config", "training={threads: 0}"], "config, training.threads: 0"),
    (["--configfile", "hello.yaml"], "config, methods.gnn: 'hello'"),
    (["--config", "roles={luvira: luvira}", "luvira_root=it's not here"], "it's not here: no such"),
]


@pytest.fixture(scope="module")
def copied(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fresh(root, tmp_path_factory.mktemp("hostile") / "user's wavloc")
    (folder / "hello.yaml").write_text("methods: {gnn: hello}\n")
    return folder


@pytest.mark.parametrize(("arguments", "words"), HOSTILE, ids=[words for _, words in HOSTILE])
def test_plain_snakemake_refuses_in_one_line(
    copied: Path, arguments: list[str], words: str
) -> None:
    done = snakemake(copied, "--cores", "1", *arguments, "--", "all")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("wavloc: error: ")
    assert words in last
    assert not (copied / "results").exists()


@pytest.mark.parametrize("home", ["/proc", "/dev/null", None])
def test_without_a_home_the_cache_goes_elsewhere(
    copied: Path, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    if home:
        monkeypatch.setenv("HOME", home)
    done = snakemake(copied, "-n", *CORPUS, runner=True)
    assert done.returncode == 0, done.stderr
    told = f"wavloc: the cache of Snakemake goes to {copied}/.snakemake/cache" in done.stderr
    assert told == bool(home)


def test_from_another_folder_the_snakefile_says_where_to_go(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "my wavloc")
    snakefile = ["--snakefile", str(folder / "Snakefile"), "-n"]
    done = snakemake(tmp_path, *snakefile, "all")
    assert done.returncode != 0
    expected = f"wavloc: error: no config/config.yaml here; first `cd '{folder}'`"
    assert done.stderr.splitlines()[-1] == expected
    assert snakemake(tmp_path, *snakefile, "--directory", str(folder), "table1").returncode == 0


def test_dates_in_the_future_become_now_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was ahead: inputs stay older than what was made of them, equals stay equal."""
    monkeypatch.chdir(tmp_path)
    now = time.time()
    ages = {"past": -100, "input": 3600, "same": 3600, "output": 3601, "table": 9e6}
    (tmp_path / "results" / "deep").mkdir(parents=True)
    for name, age in ages.items():
        path = tmp_path / "results" / "deep" / name
        path.touch()
        os.utime(path, (now + age, now + age))
    runs.settle_dates()
    dates = {name: (tmp_path / "results" / "deep" / name).stat().st_mtime for name in ages}
    assert dates["past"] == pytest.approx(now - 100)
    assert dates["past"] < dates["input"] == dates["same"] < dates["output"] < dates["table"]
    assert now - 1 < dates["input"]
    assert dates["table"] <= time.time()
