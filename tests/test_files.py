"""Writing: no output path can destroy a file or folder of the user."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from wavloc import files
from wavloc.cli import main
from wavloc.errors import InputError, WorkError
from wavloc.frames import Frames, load


def content(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def thesis(tmp_path):
    """A folder of the user that no command may touch."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.txt").write_text("years of work")
    return folder


def test_a_file_never_replaces_a_folder(thesis):
    with pytest.raises(InputError, match="thesis: it is a folder"), files.replacing(thesis):
        raise AssertionError("no work is done")
    assert content(thesis.parent) == ["thesis", "thesis/chapter1.txt"]


def test_a_folder_replaces_only_its_own_kind(thesis):
    with (
        pytest.raises(InputError, match=r"did not make \(it holds 'chapter1\.txt'\)"),
        files.replacing_folder(thesis, {"meta.json"}),
    ):
        raise AssertionError("no work is done")
    assert (thesis / "chapter1.txt").read_text() == "years of work"
    for name in ("one", "two"):
        with files.replacing_folder(thesis.parent / "ours", {"meta.json"}) as temporary:
            temporary.mkdir()
            (temporary / "meta.json").write_text(name)
    assert (thesis.parent / "ours" / "meta.json").read_text() == "two"
    (thesis.parent / "ours" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        files.replacing_folder(thesis.parent / "ours", {"meta.json"}).__enter__()
    assert content(thesis.parent / "ours") == ["meta.json", "notes.txt"]


def test_a_failing_block_leaves_the_old_content(tmp_path, thesis):
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "meta.json").write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing_folder(ours, {"meta.json"}):
        1 / 0  # noqa: B018
    with pytest.raises(OSError, match="No such file"), files.replacing_folder(ours, {"meta.json"}):
        pass  # nothing was written, so there is nothing to put in its place
    assert (ours / "meta.json").read_text() == "old"
    assert content(tmp_path) == ["ours", "ours/meta.json", "thesis", "thesis/chapter1.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a device node needs root")
def test_a_device_stays_a_device(tmp_path):
    node = tmp_path / "null"
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with pytest.raises(InputError, match="neither a regular file nor a folder"):
        files.write_text(node, "table")
    assert stat.S_ISCHR(node.stat().st_mode)


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "frames.npz"
    np.savez(
        path,
        audio=rng.standard_normal((2, 5, 2048)).astype(np.float32),
        mic_positions=rng.uniform(0, 4, (5, 3)),
        source_position=rng.uniform(1, 3, (2, 3)),
        sample_rate=np.array(16_000),
    )
    return path


def test_no_command_destroys_a_folder(frames, thesis, capsys):
    predicted = frames.parent / "p.parquet"
    assert main(f"predict --method center --frames {frames} --out {predicted}".split()) == 0
    for command in (
        f"predict --method center --frames {frames} --out {thesis}",
        f"evaluate --frames {frames} --predictions {predicted} --out {thesis}",
        f"subset --frames {frames} --mics 4 --out {thesis}",
        f"fault --frames {frames} --kind dead --level 1 --out {thesis}",
        f"prepare --kind music --source synthetic --options {{}} --out {thesis}",
        f"train --method gnn --train {frames} --valid {frames} --out {thesis} --options "
        '{"options":{"epochs":1,"hidden_dim":4,"batch":2}}',
    ):
        assert main(command.split(" ")) == 2, command
        assert "thesis" in capsys.readouterr().err
        assert content(thesis) == ["chapter1.txt"]
    assert isinstance(load(frames), Frames)


@pytest.mark.parametrize("name", [".", "..", "/", "sub/..", "", "a\0b"])
def test_only_a_name_can_be_written(tmp_path, monkeypatch, name):
    inside = tmp_path / "sub"
    inside.mkdir()
    (inside / "meta.json").write_text("{}")  # where we are is a folder of our own kind
    monkeypatch.chdir(inside)
    for attempt in (
        lambda: files.replacing(name).__enter__(),
        lambda: files.replacing_folder(name, {"meta.json"}).__enter__(),
        lambda: files.check_file(name),
        lambda: files.check_folder(name, {"meta.json"}),
    ):
        with pytest.raises(InputError, match="cannot write"):
            attempt()
    assert content(tmp_path) == ["sub", "sub/meta.json"]


def test_checks_say_beforehand_what_writing_would(tmp_path, thesis):
    files.check_file(tmp_path / "new" / "deep" / "table.csv")
    files.check_folder(tmp_path / "new" / "deep" / "model", {"meta.json"})
    (tmp_path / "file").write_text("")
    for path in (thesis, tmp_path / "file" / "below", "/proc/table.csv", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot write"):
            files.check_file(path)
    for path in (thesis, tmp_path / "file", tmp_path / "file" / "below", "/proc/model"):
        with pytest.raises(InputError, match="cannot write"):
            files.check_folder(path, {"meta.json"})
    assert content(tmp_path) == ["file", "thesis", "thesis/chapter1.txt"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path, thesis):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    files.check_file(link)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    for name, to in (("lost", tmp_path / "nowhere"), ("loop", tmp_path / "loop"), ("t", thesis)):
        (tmp_path / name).symlink_to(to)
        for attempt in (files.check_file, lambda path: files.write_text(path, "x")):
            with pytest.raises(InputError, match="cannot write"):
                attempt(tmp_path / name)
        with pytest.raises(InputError, match="cannot write"):
            files.check_folder(tmp_path / name, {"meta.json"})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["target.csv", "link.csv", "lost", "loop", "t", "thesis"]
    )


def test_new_files_have_the_mode_that_the_user_wants(tmp_path):
    def private(path):
        path.write_text("weights")
        path.chmod(0o600)

    before = os.umask(0o027)
    try:
        with files.replacing(tmp_path / "w") as temporary:
            private(temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w").stat().st_mode) == 0o640


KILLED = """
import os, signal, sys
from wavloc import files
path, stage = sys.argv[1:]
replace = os.replace
def dies(source, target):
    if stage == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    if stage == "between":
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = dies
with files.lock(path + ".lock"), files.replacing_folder(path, {"meta.json"}) as temporary:
    temporary.mkdir()
    (temporary / "meta.json").write_text("new")
    if stage == "inside":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("stage", ["inside", "before", "between"])
@pytest.mark.parametrize("name", ["ours", "old", "a b[1]"])
def test_a_killed_run_loses_nothing_and_its_traces_go_with_the_next(tmp_path, stage, name):
    path = tmp_path / name
    path.mkdir()
    (path / "meta.json").write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), stage])
    assert done.returncode == -signal.SIGKILL
    assert path.is_dir() == (stage != "between")
    assert len(content(tmp_path)) > 3
    # The only copy is back although the next run fails too.
    with pytest.raises(ZeroDivisionError), files.replacing_folder(path, {"meta.json"}):
        1 / 0  # noqa: B018
    assert (path / "meta.json").read_text() == "old"
    with files.lock(f"{path}.lock"), files.replacing_folder(path, {"meta.json"}) as temporary:
        temporary.mkdir()
        (temporary / "meta.json").write_text("newer")
    assert (path / "meta.json").read_text() == "newer"
    assert content(tmp_path) == [name, f"{name}/meta.json"]


def test_traces_of_a_living_run_and_files_of_the_user_stay(tmp_path):
    mine = tmp_path / ".x.abcdefgh"
    mine.mkdir()
    (mine / "notes").write_text("mine")
    with files.replacing(tmp_path / "x") as first:
        first.write_text("first")
        files.write_text(tmp_path / "x", "second")
        assert first.read_text() == "first"
    assert (tmp_path / "x").read_text() == "first"
    assert content(tmp_path) == [".x.abcdefgh", ".x.abcdefgh/notes", "x"]


def test_a_lock_excludes_and_leaves_nothing(tmp_path):
    path, inside, most = tmp_path / ".lock", [], []

    def work():
        for _ in range(20):
            with files.lock(path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1
    assert content(tmp_path) == []
    with pytest.raises(OSError, match="of the work"), files.lock(path):
        raise OSError("of the work")
    assert content(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(command).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_inside(folder, write):
    folder.mkdir()
    write(folder / "w.npy")


def test_a_full_disk_is_said_whatever_writes(small_disk):
    """numpy, torch, safetensors, pyarrow and Matplotlib all say it differently."""
    samples = np.random.default_rng(0).standard_normal(100_000)

    def draw(path):
        figure = matplotlib.figure.Figure()
        figure.add_subplot().imshow(samples[:90_000].reshape(300, 300))
        figure.savefig(path, format="png", dpi=300)

    for write in (
        lambda path: np.save(path.open("wb"), samples),
        lambda path: np.save(path, samples),
        lambda path: torch.save(torch.tensor(samples), path),
        lambda path: save_file({"w": torch.tensor(samples)}, path),
        lambda path: pd.DataFrame({"x": samples}).to_parquet(path),
        lambda path: path.write_text("x" * 10**6),
        draw,
    ):
        with (
            pytest.raises(WorkError, match=r"cannot write .*disk/out: the disk is full"),
            files.replacing(small_disk / "out") as temporary,
        ):
            write(temporary)
        with (
            pytest.raises(WorkError, match=r"cannot write .*disk/folder: the disk is full"),
            files.replacing_folder(small_disk / "folder", {"w"}) as temporary,
        ):
            write_inside(temporary, write)
        assert content(small_disk) == []


@pytest.mark.parametrize("kind", ["pipe", "deep", "utf-16"])
def test_json_that_cannot_be_read_is_one_line(tmp_path, kind):
    path = tmp_path / "meta.json"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"[" * 10**6 if kind == "deep" else '{"a": 1}'.encode("utf-16"))
    with pytest.raises(InputError, match=r"meta\.json: not"):
        files.read_json(path)


def test_names_beyond_ascii_work_in_the_plainest_locale(tmp_path):
    code = (
        r"import sys; from wavloc import files; files.write_json(sys.argv[1], {'r\xe4ume': '\xdf'})"
    )
    for more in ({}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        path = tmp_path / f"würfel{len(more)}.json"
        environment = os.environ | {"LC_ALL": "C"} | more
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True)
        assert files.read_json(path) == {"räume": "ß"}
