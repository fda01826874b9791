"""Downloads: resumed, retried, checked and unpacked safely; every failure is one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helpers.data_server import PASSWORD, USER, Server, serving
from wavloc import cli, files
from wavloc.datasets import fetch
from wavloc.datasets.fetch import archives
from wavloc.errors import InputError, WorkError

FAST = fetch.Network(retries=2, backoff_s=0.01, timeout_s=5)
CONTENT = np.random.default_rng(0).bytes(400_000)


def make_zip(path: Path, content: bytes = CONTENT) -> str:
    """An archive with one file; returns its checksum."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/noise.bin", content)
    return f"sha256:{files.sha256(path)}"


@pytest.fixture
def server(tmp_path: Path):
    (tmp_path / "published").mkdir()
    make_zip(tmp_path / "published" / "a.zip")
    with serving(tmp_path / "published") as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def entry(server: Server, checksum: str | None = None, **changed: object) -> dict[str, object]:
    given = {"archives": {"a.zip": checksum}, "urls": [server.url], "page": "http://page"}
    return given | {"user": USER, "password": PASSWORD, "licence": "free"} | changed


def content(cache: Path) -> bytes:
    return (cache / "set" / "a" / "data" / "noise.bin").read_bytes()


def test_fetched_once_and_recorded(server: Server, cache: Path) -> None:
    manifest = fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT
    checksum = files.sha256(server.folder / "a.zip")
    assert manifest == files.read_json(cache / "set" / "manifest.json")
    assert manifest["archives"]["a.zip"]["checksums"] == [f"sha256:{checksum}"]
    assert manifest["archives"]["a.zip"]["files"] == 1
    assert (cache / "downloads" / "set" / "a.zip.sha256").read_text() == f"{checksum}  a.zip\n"
    server.requests.clear()
    assert fetch.fetch("set", entry(server), cache, FAST) == manifest
    offline = fetch.Network(offline=True)
    assert fetch.fetch("set", entry(server), cache, offline) == manifest
    assert server.requests == []
    assert not list((cache / "downloads" / "set").glob(".*"))


def test_broken_connection_is_resumed(server: Server, cache: Path) -> None:
    server.drop_after = [150_000, 100_000]
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT
    begins = [int((sent or "bytes=0-")[6:-1]) for _, sent in server.requests]
    assert len(begins) == 3
    assert begins[0] == 0 < begins[1] < begins[2]


def test_next_run_resumes_the_last_one(server: Server, cache: Path) -> None:
    server.drop_after = [150_000]
    with pytest.raises(WorkError, match=r"cannot download a\.zip"):
        fetch.fetch("set", entry(server), cache, fetch.Network(retries=0))
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT
    assert server.requests[1][1] is not None


def test_server_without_ranges_starts_again(server: Server, cache: Path) -> None:
    server.drop_after, server.ranges = [150_000], False
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT


def test_parts_of_two_versions_are_not_joined(server: Server, cache: Path) -> None:
    server.drop_after = [150_000]
    with pytest.raises(WorkError):
        fetch.fetch("set", entry(server), cache, fetch.Network(retries=0))
    make_zip(server.folder / "a.zip", CONTENT[::-1])
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT[::-1]


def test_busy_server_is_retried_and_a_missing_file_is_not(server: Server, cache: Path) -> None:
    server.refuse = [503, 429]
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT
    (server.folder / "a.zip").unlink()
    server.requests.clear()
    with pytest.raises(WorkError, match=r"a\.zip \(http://127.*/a\.zip: 404 .*or put the file at"):
        fetch.fetch("other", entry(server), cache, FAST)
    assert len(server.requests) == 1


def test_wrong_password_is_named(server: Server, cache: Path) -> None:
    with pytest.raises(WorkError, match="401 Unauthorized, check user and password"):
        fetch.fetch("set", entry(server, password="x"), cache, FAST)
    assert len(server.requests) == 1
    assert not (cache / "set" / "a").exists()


def test_mirror_is_used_after_a_failure(server: Server, cache: Path) -> None:
    urls = [f"{server.url}/gone/", server.url]
    fetch.fetch("set", entry(server, urls=urls), cache, FAST)
    assert content(cache) == CONTENT
    assert [path for path, _ in server.requests] == ["/gone/a.zip", "/a.zip"]


def test_redirect_is_followed_and_a_loop_is_an_error(server: Server, cache: Path) -> None:
    server.redirect = {"/old/a.zip": "/a.zip", "/round/a.zip": "/round/a.zip"}
    fetch.fetch("set", entry(server, urls=[f"{server.url}/old"]), cache, FAST)
    assert content(cache) == CONTENT
    with pytest.raises(WorkError, match="Exceeded 30 redirects"):
        fetch.fetch("other", entry(server, urls=[f"{server.url}/round"]), cache, FAST)


def test_wrong_checksum_is_refused(server: Server, cache: Path) -> None:
    wrong = "sha256:" + 64 * "0"
    with pytest.raises(WorkError, match=r"does not match the known hash: expected .*000 but got"):
        fetch.fetch("set", entry(server, wrong), cache, fetch.Network(retries=1, backoff_s=0.01))
    assert len(server.requests) == 2
    assert not (cache / "set" / "a").exists()
    assert not (cache / "downloads" / "set" / "a.zip").exists()


def test_published_checksum_is_accepted(server: Server, cache: Path) -> None:
    for name, algorithm in (("one", "md5"), ("two", "sha256")):
        checksum = f"{algorithm}:{files.checksum(server.folder / 'a.zip', algorithm)}"
        manifest = fetch.fetch(name, entry(server, checksum), cache, FAST)
        assert checksum in manifest["archives"]["a.zip"]["checksums"]


def test_checksum_of_the_first_download_is_enforced(server: Server, cache: Path) -> None:
    fetch.fetch("set", entry(server), cache, FAST)
    shutil.rmtree(cache / "set")
    (cache / "downloads" / "set" / "a.zip").unlink()
    make_zip(server.folder / "a.zip", b"something else")
    with pytest.raises(WorkError, match=r"first use, .*a\.zip\.sha256"):
        fetch.fetch("set", entry(server), cache, fetch.Network(retries=0))
    assert not (cache / "set" / "a").exists()


def test_damaged_archive_in_the_cache_is_fetched_again(server: Server, cache: Path) -> None:
    kept = cache / "downloads" / "set" / "a.zip"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((server.folder / "a.zip").read_bytes()[:200_000])
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT
    assert len(server.requests) == 1


def test_archive_damaged_at_the_publisher_is_named(server: Server, cache: Path) -> None:
    path = server.folder / "a.zip"
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(WorkError, match=r"a\.zip: damaged .*\(fetched twice\)"):
        fetch.fetch("set", entry(server), cache, FAST)
    assert len(server.requests) == 2
    assert not (cache / "set" / "a").exists()
    assert not (cache / "downloads" / "set" / "a.zip.sha256").exists()


def test_offline_error_tells_where_to_put_the_file(server: Server, cache: Path) -> None:
    offline = fetch.Network(offline=True)
    with pytest.raises(WorkError, match=r"offline, but .*cache/downloads/set/a\.zip is not there"):
        fetch.fetch("set", entry(server), cache, offline)
    (cache / "downloads" / "set").mkdir(parents=True)
    shutil.copy(server.folder / "a.zip", cache / "downloads" / "set")
    fetch.fetch("set", entry(server), cache, offline)
    assert content(cache) == CONTENT
    assert server.requests == []


def test_root_with_archives_or_with_their_content(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    at_root = entry(server, root=str(server.folder))
    assert fetch.folder_of("set", at_root, cache) == cache / "set"
    fetch.fetch("set", at_root, cache, FAST)
    assert content(cache) == CONTENT
    unpacked = entry(server, root=str(cache / "set"))
    assert fetch.folder_of("set", unpacked, cache) == cache / "set"
    assert fetch.fetch("set", unpacked, tmp_path / "other", FAST)["archives"] == {}
    assert server.requests == []
    with pytest.raises(InputError, match=r"/nowhere: no such folder.*a\.zip.*http://page"):
        fetch.folder_of("set", entry(server, root="/nowhere"), cache)
    (server.folder / "a.zip").write_bytes(b"PK not a zip")
    with pytest.raises(WorkError, match=r"published/a\.zip: damaged"):
        fetch.fetch("third", at_root, cache, FAST)
    assert (server.folder / "a.zip").exists()  # not ours to delete


def test_two_simultaneous_runs_download_once(server: Server, cache: Path) -> None:
    text = json.dumps(entry(server))
    command = [sys.executable, "-m", "wavloc.cli", "download", "set", "--entry", text]
    command += ["--cache", str(cache)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    messages = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], messages
    assert content(cache) == CONTENT
    assert len(server.requests) == 1


def test_partly_unpacked_archive_of_a_killed_run_is_removed(server: Server, cache: Path) -> None:
    partial = cache / "set" / ".a.k1ll3d" / "a" / "data"
    partial.mkdir(parents=True)
    (partial / "noise.bin").write_bytes(CONTENT[:1000])
    fetch.fetch("set", entry(server), cache, FAST)
    assert [path.parent.parent.name for path in cache.rglob("noise.bin")] == ["a"]


@pytest.mark.parametrize("moment", [".json", ".partial"])  # at the beginning, at the end
def test_a_run_killed_in_a_download_leaves_nothing_after_the_next(
    server: Server, cache: Path, moment: str
) -> None:
    """SIGKILL, here a process that ends without cleaning up, then the same command."""
    downloads, move = cache / "downloads" / "set", os.replace

    def killed(source: Path, target: Path) -> None:
        if str(source).endswith(moment):
            os._exit(9)
        move(source, target)

    child = os.fork()
    if child == 0:
        os.replace = killed
        with contextlib.suppress(BaseException):
            fetch.fetch("set", entry(server), cache, FAST)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert any(path.name.startswith(".") for path in downloads.iterdir())
    fetch.fetch("set", entry(server), cache, FAST)
    assert sorted(path.name for path in downloads.iterdir()) == ["a.zip", "a.zip.sha256"]
    assert content(cache) == CONTENT


def test_run_waits_for_the_lock_of_another(server: Server, cache: Path) -> None:
    with files.lock(cache / ".set.lock"):
        waiting = threading.Thread(target=fetch.fetch, args=("set", entry(server), cache, FAST))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert server.requests == []
    waiting.join(120)
    assert content(cache) == CONTENT


def test_disk_space_is_checked_before_the_download(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cache.parent)._replace(free=500_000)  # archive, but not its content
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(WorkError, match=r"not enough disk space for a\.zip: 0\.00 GiB needed"):
        fetch.fetch("set", entry(server), cache, FAST)
    assert not (cache / "downloads" / "set" / "a.zip").exists()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(command).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("stage", ["download", "unpack"])
def test_full_disk_is_a_one_line_error(
    server: Server, small_disk: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up after the check of its space."""
    monkeypatch.setattr(archives, "require_space", lambda *_: None)
    monkeypatch.setattr("wavloc.datasets.fetch.http.require_space", lambda *_: None)
    root = "" if stage == "download" else str(server.folder)
    words = "downloading a.zip" if stage == "download" else "unpacking .*a.zip"
    with pytest.raises(WorkError, match=f"disk full while {words}"):
        fetch.fetch("set", entry(server, root=root), small_disk, FAST)
    assert not (small_disk / "set" / "a").exists()
    assert not (small_disk / "set" / "manifest.json").exists()


@pytest.mark.parametrize("stated", [True, False])
def test_size_is_bounded_while_it_comes(server: Server, cache: Path, stated: bool) -> None:
    server.stated = stated
    small = {"max_gib": 300_000 / 2**30}  # the archive has 400 kB
    with pytest.raises(WorkError, match=r"a\.zip is larger than 0\.000279 GiB, not downloaded"):
        fetch.fetch("set", entry(server, **small), cache, FAST)
    assert [path.name for path in (cache / "downloads" / "set").iterdir()] == []
    assert len(server.requests) == 1
    fetch.fetch("set", entry(server), cache, FAST)
    assert content(cache) == CONTENT


# Unpacking


@pytest.mark.parametrize("member", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "c:evil"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "whl"])
def test_members_outside_the_folder_are_refused(tmp_path: Path, member: str, kind: str) -> None:
    path = tmp_path / f"bad.{kind}"
    if kind == "tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, b"x")
    with pytest.raises(WorkError, match=rf"bad\.{kind}: unsafe member"):
        archives.unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()


def test_unsafe_archive_is_not_fetched_again(server: Server, cache: Path) -> None:
    with zipfile.ZipFile(server.folder / "a.zip", "w") as archive:
        archive.writestr("good", b"x")
        archive.writestr("../../evil", b"x")
    with pytest.raises(WorkError, match=r"unsafe member '\.\./\.\./evil'"):
        fetch.fetch("set", entry(server), cache, FAST)
    assert len(server.requests) == 1
    assert not (cache / "set" / "a").exists()
    assert not list(cache.rglob("evil"))


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    for name, kind in (("s.tar", tarfile.SYMTYPE), ("h.tar", tarfile.LNKTYPE)):
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / name, "w") as archive:
            archive.addfile(info)
    for name in ("l.zip", "s.tar", "h.tar"):
        with pytest.raises(WorkError, match=r"'link' \(a link or a device\), not unpacked"):
            archives.unpack(tmp_path / name, tmp_path / "out")


def test_size_is_bounded_even_if_an_archive_lies(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**6))
    with pytest.raises(WorkError, match=r"bomb\.zip: unpacks to more than .* 'zeros'"):
        archives.unpack(path, tmp_path / "out", most_bytes=10**5)
    lying = bytearray(path.read_bytes())
    offset = lying.rindex(b"PK\x01\x02") + 24  # stated size in the directory at the end
    lying[offset : offset + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(lying)
    with pytest.raises(WorkError, match=r"bomb\.zip: damaged"):
        archives.unpack(path, tmp_path / "out2", most_bytes=10**5)
    assert sum(f.stat().st_size for f in (tmp_path / "out2").rglob("*") if f.is_file()) <= 1001


DAMAGE = ("truncated", "no archive", "empty")


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, damage) for name in ("a.zip", "a.tar", "a.tar.gz") for damage in DAMAGE]
    + [("a.zip", "flipped"), ("a.tar.gz", "flipped")],  # a plain tar has no checksum of content
)
def test_damaged_archive_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    if name == "a.zip":
        make_zip(path)
    else:
        with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as archive:
            for member in ("noise.bin", "more.bin"):
                info = tarfile.TarInfo(member)
                info.size = len(CONTENT)
                archive.addfile(info, io.BytesIO(CONTENT))
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 255
    damaged = {"truncated": data[:250_000], "flipped": bytes(flipped)}
    path.write_bytes(damaged.get(damage, b"<html>" * 500 if damage == "no archive" else b""))
    with pytest.raises(archives.DamagedArchive, match=rf"{re.escape(name)}: damaged"):
        archives.unpack(path, tmp_path / "out")


# Entries and the command


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"urlz": []}, "unknown key 'urlz'"),
        ({"archives": {}}, "needs archives"),
        ({"urls": []}, "needs archives .* and urls or root"),
        ({"archives": {"a.zip": "sha256:12"}}, r"archives\.a\.zip: 'sha256:12', expected"),
        ({"archives": {"../a.zip": None}}, "not a plain file name"),
        ({"archives": {"..": None}}, "not a plain file name"),
        ({"archives": {".zip": None}}, "not a plain file name"),
        ({"archives": {"a.zip": 12}}, r"archives\.a\.zip: '12', expected null"),
        ({"archives": ["a.zip"]}, r"archives: \['a\.zip'\], expected name: checksum"),
        ({"urls": "http://127.0.0.1"}, "urls: 'http://127.0.0.1', expected a list"),
        ({"max_gib": "big"}, "max_gib: 'big', expected a number above 0 to 1,000,000 GiB"),
        ({"max_gib": -1}, "max_gib: -1, expected"),
        ({"max_gib": float("nan")}, "max_gib: nan, expected"),
        ({"max_gib": True}, "max_gib: True, expected"),
        ({"root": 3}, "root: 3, expected text"),
    ],
)
def test_errors_in_an_entry_are_named(change: dict, words: str) -> None:
    good = {"archives": {"a.zip": None}, "urls": ["http://127.0.0.1:9"]}
    with pytest.raises(InputError, match=words):
        fetch.read_entry("set", good | change)


@pytest.mark.parametrize("name", ["../set", "/set", "", ".", "a/b"])
def test_an_entry_cannot_lead_out_of_the_cache(name: str) -> None:
    with pytest.raises(InputError, match=r"expected letters, digits and _ \. \+ -, not a path"):
        fetch.read_entry(name, {"archives": {"a.zip": None}, "urls": ["http://127.0.0.1:9"]})


def test_failing_command_prints_one_line(server: Server, cache: Path, tmp_path: Path, capsys):
    file = tmp_path / "set.yaml"
    file.write_text(json.dumps({"download": entry(server)}))
    command = ["download", "set", "--entry", str(file), "--cache", str(cache)]
    assert cli.main(command) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("a.zip: 400")
    assert "licence: free" in lines[-1]
    command[1], server.refuse = "other", [404]
    assert cli.main(command) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert cli.main(["download", "third", "--offline", *command[2:]]) == 1
    assert "offline" in capsys.readouterr().err
