"""Writing: no output path can destroy a file or folder of the user."""

import os
import stat

import numpy as np
import pytest

from wavloc import files
from wavloc.cli import main
from wavloc.errors import InputError
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
