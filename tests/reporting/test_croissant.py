"""Cards and machine-readable metadata of datasets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.frames import anechoic_frames
from wavloc import cli, config, files


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Metadata of lund12, all tracks, and of a simulated track beside it."""
    folder = tmp_path_factory.mktemp("results") / "data"
    for track in ("chirps", "xtdoa"):
        made = ["--dataset", "lund12", "--track", track, "--out", str(folder / "lund12" / track)]
        assert cli.main(["simulate", *made]) == 0
    frames = anechoic_frames(6)
    frames.table["recording"] = "a"
    frames.save(folder / "six_faces" / "test")
    for dataset, tracks in (("lund12", ("chirps", "xtdoa")), ("six_faces", ("test",))):
        assert write(folder, dataset, tracks, folder / f"{dataset}.croissant.json") == 0
    return folder


def write(folder: Path, dataset: str, tracks: tuple[str, ...], out: Path) -> int:
    given = [f"{track}={folder / dataset / track}" for track in tracks]
    chosen = ["--config", str(config.FOLDER / "config.yaml"), "--dataset", dataset]
    return cli.main(["croissant", *chosen, "--frames", *given, "--out", str(out)])


def test_every_file_is_listed_with_its_checksum(described: Path, tmp_path: Path) -> None:
    text = (described / "lund12.croissant.json").read_text()
    made = json.loads(text)
    assert made["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert made["license"].startswith("MIT")
    listed = {described / item["contentUrl"]: item for item in made["distribution"]}
    assert set(listed) == {path for path in (described / "lund12").rglob("*") if path.is_file()}
    for path, item in listed.items():
        assert item["sha256"] == files.sha256(path)
        assert item["contentSize"] == f"{path.stat().st_size} B"
    chirps = next(item for item in made["distribution"] if "chirps/arrivals" in item["@id"])
    assert "(751, 12), float64" in chirps["description"]
    assert write(described, "lund12", ("chirps", "xtdoa"), described / "again.json") == 0
    assert (described / "again.json").read_text() == text


@pytest.mark.parametrize("dataset", ["lund12", "six_faces"])
def test_mlcroissant_finds_no_mistake_and_reads_the_tables(described: Path, dataset: str) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="not in this environment (make env)")
    read = mlcroissant.Dataset(str(described / f"{dataset}.croissant.json"))
    issues = read.metadata.ctx.issues
    assert not issues.errors
    assert all("datePublished" in warning for warning in issues.warnings)
    for records in read.metadata.record_sets:
        table = pd.read_parquet(described / dataset / records.name / "frames.parquet")
        rows = pd.DataFrame(list(read.records(records.name)))
        rows.columns = [name.partition("/")[2] for name in rows.columns]
        assert list(rows.columns) == list(table.columns)
        for name in table.select_dtypes("number"):
            assert np.allclose(rows[name].astype(float), table[name])


def test_mistakes_are_one_line(described: Path, tmp_path: Path, capsys) -> None:
    assert write(described, "lund13", ("chirps",), tmp_path / "out.json") == 2
    assert "unknown dataset 'lund13'" in capsys.readouterr().err
    assert write(described, "lund12", ("chirp",), tmp_path / "out.json") == 2
    assert "no such Frames folder" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_every_dataset_has_a_card(root: Path) -> None:
    page = (root / "docs" / "datasets.md").read_text(encoding="utf-8")
    cards = dict(re.findall(r"^## (\w+): .*?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(cards) == set(config.load(root / "config" / "config.yaml")["datasets"])
    for name, card in cards.items():
        rows = re.findall(r"^\| ([\w ]+) \| .+ \|$", card, re.MULTILINE)
        expected = {"origin", "licence", "array", "frames", "measured", "made here"}
        assert expected <= set(rows), name
        assert "roblems" in card or "goes wrong" in card, name
