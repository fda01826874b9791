"""A room of the user's own: its data, its profile, and the page on it, followed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from helpers.pages import Reader
from helpers.workflow import fresh
from wavloc import cli, config, datasets, frames
from wavloc.datasets.sound import prepare
from wavloc.datasets.sound.corpus import Corpus
from wavloc.errors import InputError
from wavloc.methods.classical import multilat_plus
from wavloc.methods.learned import wav2pos
from wavloc.methods.learned.base import DataStats
from wavloc.simulation import rooms
from wavloc.simulation.render import render

MICS = [
    ["door", 2.1, -0.9, 2.2],
    ["window", 5.9, -0.8, 1.1],
    ["shelf", 5.8, 1.9, 1.9],
    ["lamp", 4.0, 0.4, 2.4],
    ["desk", 2.2, 1.8, 0.8],
]
ROOM = {"mics": MICS, "room": [4.0, 3.0, 2.5], "corner": [2.0, -1.0, 0.0], "max_order": 1}


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    out = tmp_path_factory.mktemp("speech") / "corpus"
    prepare("speech", "synthetic", out, {"voices": 6, "utterances_per_voice": 2}, out.parent, 0)
    return Corpus.load(out)


def own_room(**changed: object) -> datasets.Dataset:
    sizes = {"train": 12, "valid": 4, "test": 30}
    return datasets.create("own_room", {"options": ROOM | sizes | changed})


def test_frames_are_in_the_coordinates_of_the_list(speech: Corpus, tmp_path: Path) -> None:
    scenes = own_room().scenes("test", {"speech": speech})
    render(scenes, tmp_path / "test", 0, ["test"], "phase_grid")
    made = frames.load(tmp_path / "test")
    np.testing.assert_allclose(made.mic_positions, [row[1:] for row in MICS], atol=1e-12)
    assert made.meta["mic_names"] == ["door", "window", "shelf", "lamp", "desk"]
    low, high = made.room_bounds
    np.testing.assert_allclose([low, high], [[2, -1, 0], [6, 2, 2.5]], atol=1e-12)
    source = made.source_position
    assert (source >= [2.3, -0.7, 1.0]).all()
    assert (source <= [5.7, 1.7, 1.8]).all()
    assert np.ptp(source, axis=0) == pytest.approx([3.4, 2.4, 0.8], rel=0.25)  # all over the floor
    assert made.table["t60_nominal_s"].between(0.2, 0.4).all()
    assert set(made.table["snr_db"]) == {20.0}
    # Every position fits what is heard: the strongest early sound comes at the true delay.
    error = np.linalg.norm(multilat_plus.Method().predict(made).position - source, axis=1)
    assert np.nanmedian(error) < 0.05


def test_no_speaker_is_in_two_parts(speech: Corpus) -> None:
    tables = {t: own_room().scenes(t, {"speech": speech}).table for t in ("train", "valid", "test")}
    voices = {track: set(table["speaker"]) for track, table in tables.items()}
    assert not voices["train"] & voices["valid"]
    assert not (voices["train"] | voices["valid"]) & voices["test"]
    assert np.isinf(tables["train"]["snr_db"]).all()  # noise is drawn in training


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"room": [3.5, 3.0, 2.5]}, ["'window' at [5.9, -0.8, 1.1]", "x 2 to 5.5"]),
        ({"corner": [0.0, 0.0, 0.0]}, ["'door'", "corner"]),
        ({"room": [4.0, 3.0]}, ["room"]),
        ({"mics": []}, ["mics: none"]),
        ({"mics": [["door", 3.0, 0.0]]}, ["[name, x, y, z]"]),
        ({"mics": [["door", 3.0, 0.0, "high"]]}, ["[name, x, y, z]"]),
        ({"height_high_m": 2.6}, ["height_high_m 2.6", "2.5 m"]),
        ({"height_low_m": 1.8}, ["height_low_m 1.8", "0.1 m"]),
        ({"wall_m": 1.5}, ["wall_m: 1.5"]),
        ({"t60_low_s": 0.5}, ["t60_low_s 0.5"]),
        ({"t60_low_s": 0.0, "t60_high_s": 0.0}, ["t60_high_s: 0.0", "above 0"]),
    ],
)
def test_impossible_rooms_are_refused(changed: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        own_room(**changed).check()
    assert all(word in str(refused.value) for word in words), refused.value


# ------------------------------------------------------------------ the profile


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "mics.csv"
    rows = [",".join(map(str, row)) for row in [["name", "x", "y", "z"], *MICS]]
    path.write_text("\n".join(rows) + "\n")
    return path


def command(listed: Path, *more: object) -> list[str]:
    words = ["own-room", "--mics", listed, "--room", 4, 3, 2.5, "--corner", 2, -1, 0, *more]
    return [str(word) for word in words]


def tiny_model(folder: Path, lag: int) -> Path:
    """An untrained wav2pos for delays of at most ``lag`` samples."""
    small = {"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "pair_hidden": 8}
    small |= {"head_hidden": [8, 8], "coordinate_hidden": 8, "features": "gcc", "epochs": 77}
    method = wav2pos.Method(small)
    place = (0.0, 0.0, 1.0), (1.0, 1.0, 0.5)
    method.stats = DataStats(6, 2048, 16000, 343.0, lag, *place)
    method.network = method.build(method.stats)
    method.save(folder)
    return folder


def test_profile_shows_the_room_and_nothing_else(root, listed, tmp_path) -> None:
    out = tmp_path / "kitchen.yaml"
    assert cli.main(command(listed, "--t60", 0.3, "--snr", 12, "--out", out)) == 0
    loaded = config.load(root / "config" / "config.yaml", out)
    assert list(loaded["tables"]) == ["room_accuracy", "room_split"]
    assert list(loaded["figures"]) == ["room_map", "room_array"]
    assert loaded["pathvars"]["results"] == "results/kitchen"
    options = loaded["datasets"]["own_room"]["options"]
    assert options["mics"] == MICS
    assert (options["t60_low_s"], options["t60_high_s"]) == (0.3, 0.3)
    assert options["test_snr_db"] == [12.0]
    specs = [*loaded["tables"].values(), *loaded["figures"].values()]
    assert all(spec["mics"] in (5, [5]) for spec in specs)
    assert "start" not in loaded["methods"]["wav2pos"]
    assert yaml.safe_load(out.read_text())["outputs"] == loaded["outputs"]


def test_rooms_sound_as_long_as_is_asked_and_the_measured_time_is_said(
    root, listed, tmp_path, capsys
) -> None:
    out = tmp_path / "hall.yaml"
    assert cli.main(command(listed, "--t60", 0.2, 0.6, "--out", out)) == 0
    said = capsys.readouterr().err
    low, high = map(float, re.search(r"0.2 s: (\S+) s; 0.6 s: (\S+) s", said).groups())
    assert 0.15 < low < 0.3
    assert 0.5 < high < 1.0
    assert re.search(r"takes about [\d,]+ minutes of a core", said)
    loaded = config.load(root / "config" / "config.yaml", out)
    assert loaded["datasets"]["own_room"]["options"].get("max_order", 0) == 0
    assert f"0.6 s: {high:.2f} s" in out.read_text().splitlines()[1]
    assert f"0.6 s: {high:.2f} s." in loaded["tables"]["room_accuracy"]["caption"]
    # The frames of the data set decay like that, too.
    options = loaded["datasets"]["own_room"]["options"] | {"t60_low_s": 0.6}
    room = datasets.create("own_room", {"options": options})
    share, order = rooms.sabine(np.array(room.options.room), np.array([0.6]), 343.0)
    assert order[0] > 80
    source = np.mean(room.source_box(), axis=0)[None]
    about = np.array(room.options.room), room.array()[None], source, share, int(order[0])
    heard = rooms.impulse_responses(*about, 16_000, 343.0)[0]
    assert np.mean([rooms.decay_s(row, 16_000) for row in heard]) == pytest.approx(high, rel=0.1)


def test_the_decay_of_an_exponential_is_its_t60() -> None:
    time_s = np.arange(16_000) / 16_000
    noise = np.random.default_rng(0).standard_normal(16_000)
    for t60_s in (0.2, 0.7):
        assert rooms.decay_s(noise * 10 ** (-3 * time_s / t60_s), 16_000) == pytest.approx(
            t60_s, rel=0.08
        )
    assert rooms.decay_s(np.eye(1, 100)[0], 16_000) == 0  # anechoic
    assert rooms.decay_s(np.zeros(100), 16_000) == 0


def test_profile_of_a_fine_tuning_has_the_sizes_of_its_model(root, listed, tmp_path) -> None:
    model, out = tiny_model(tmp_path / "model", 300), tmp_path / "tuned.yaml"
    assert cli.main(command(listed, "--model", model, "--out", out)) == 0
    entry = config.load(root / "config" / "config.yaml", out)["methods"]["wav2pos"]
    assert entry["start"] == str(model)
    assert entry["options"]["embed_dim"] == 16
    assert entry["options"]["head_hidden"] == [8, 8]
    assert entry["options"]["epochs"] != 77  # how it is trained is the profile's matter


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--room", "4", "3", "2.3"], ["'lamp'", "z 0 to 2.3"]),
        (["--room", "4", "3", "nan"], ["'nan'", "finite"]),
        (["--snr", "loud"], ["--snr", "'loud'"]),
        (["--heights", "1", "3"], ["height_high_m 3"]),
        (["--t60", "0.2", "0.3", "0.4"], ["--t60: 3 values"]),
        (["--t60", "9"], ["--t60: 9 s", "order", "at most 600"]),
        (["--model", "nowhere"], ["nowhere", "no such model folder"]),
        (["--model", "narrow"], ["at most 100 samples", "have 2"]),
    ],
)
def test_profile_errors_are_one_line(
    listed, tmp_path, capsys, monkeypatch, more: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "narrow", 100)
    assert cli.main(command(listed, *more, "--out", tmp_path / "x.yaml")) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert said.count("\n") == 1
    assert not (tmp_path / "x.yaml").exists()


def test_no_other_config_is_written_over(listed, tmp_path, capsys) -> None:
    (tmp_path / "smoke.yaml").write_text("profile: smoke\n")
    for name, words in (
        ("smoke.yaml", "not made by own-room"),
        ("my room.yaml", "expected NAME.yaml"),
        ("data.yaml", "expected NAME.yaml"),
        ("room.csv", "expected NAME.yaml"),
    ):
        assert cli.main(command(listed, "--out", tmp_path / name)) == 2
        assert words in capsys.readouterr().err
    assert (tmp_path / "smoke.yaml").read_text() == "profile: smoke\n"
    for snr in (10, 20):  # its own it may
        assert cli.main(command(listed, "--snr", snr, "--out", tmp_path / "hall.yaml")) == 0
    assert f"--snr 20 --out {tmp_path}/hall.yaml" in (tmp_path / "hall.yaml").read_text()


# ------------------------------------------------------------------ the page


@pytest.mark.slow
def test_the_page_leads_to_a_map_a_model_and_positions(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    reader = Reader(root / "docs" / "own_room.md", folder)
    run = "snakemake --cores 2 --configfile config/"
    reader.type("wavloc own-room --mics mics.csv --room 6 5 2.7 --t60 0.2 0.4 --snr 20 --out")
    reader.type(run + "smoke.yaml")
    results = folder / "results/my_room_look"
    table = pd.read_csv(results / "tables/room_accuracy.csv").set_index(["method", "metric"])
    assert set(table.index.get_level_values(0)) == {"wav2pos", "multilat_plus"}
    assert (table["n_frames"] == 80).all()
    best = table.loc[("multilat_plus", "mae")]
    assert best["ci_low"] < best["value"] < best["ci_high"]
    assert best["value"] < 30
    made = sorted(path.name for path in results.glob("*/room_*"))
    assert {"room_map.png", "room_map.pdf", "room_array.png", "room_split.csv"} <= set(made)
    assert "Expected MAE over the floor" in (results / "report.html").read_text()
    assert not list(results.glob("tables/table*"))

    # The run itself as far as its plan; what it would leave is taken from the look.
    (planned,) = reader.type(run + "my_room.yaml", "--dry-run", "--quiet", "host")
    assert "results/my_room/figures/room_map.png" in planned
    assert "luvira" not in planned
    (planned,) = reader.type("snakemake --cores 8", "--dry-run", "--quiet", "host")
    assert "results/my_room/figures/room_map.png" in planned
    profiles = [folder / "config" / name for name in ("twin.yaml", "my_room.yaml")]
    full = config.load(*profiles, folder / "full.yaml")
    assert full["datasets"]["own_room"]["options"]["train"] == 20000
    assert full["methods"]["wav2pos"]["options"]["epochs"] == 500
    (folder / "results/my_room").mkdir()
    results.joinpath("models").rename(folder / "results/my_room/models")

    sound = frames.load(results / "data/own_room/test").audio[:3]
    channels = np.concatenate(list(sound), axis=1).T
    soundfile.write(folder / "recording.wav", 0.5 * channels / np.abs(channels).max(), 16000)
    reader.type("wavloc locate")
    positions = pd.read_csv(folder / "positions.csv")
    assert (positions["status"] == "ok").any()
    assert (folder / "track.png").is_file()

    reader.type("wavloc own-room --mics mics.csv --room 6 5 2.7 --t60 0.2 0.4 --snr 20 --model")
    (planned,) = reader.type(run + "my_room_tuned.yaml", "--dry-run", "--printshellcmds")
    begun = re.findall("wavloc train .*--method wav2pos .*", planned)
    assert len(begun) == 1
    assert "--start results/my_room/models/own_room/speakers/wav2pos" in begun[0]
    assert "--pretrained" not in begun[0]
