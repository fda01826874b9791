"""Where sources are searched for: outside of the microphones, in a room, in a plane."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.recordings import (
    MICS,
    ROOM,
    dry_sound,
    errors_m,
    heard,
    locate,
    write_mics,
    write_sound,
)
from wavloc import cli
from wavloc.errors import InputError
from wavloc.methods.classical.solvers.shells import Shells
from wavloc.recordings import volume

NAMES = [f"m{k}" for k in range(8)]
CEILING = np.array([[x, y, 2.7] for x in (0.5, 3.0, 5.5) for y in (0.5, 4.4)])
WALL = np.array(
    [[0, y, z] for y, z in ((0.3, 0.4), (1.7, 2.3), (2.4, 0.9), (3.1, 2.2), (4.6, 1.1))]
)


def record(folder, mics: np.ndarray, source: np.ndarray, seconds: float = 0.3) -> None:
    write_mics(folder / "mics.csv", mics)
    write_sound(folder / "r.wav", heard(dry_sound(seconds), mics, source))


@pytest.mark.parametrize("method", ["srp_phat", "multilat_plus"])
def test_sources_outside_of_the_array_are_found(tmp_path, method: str) -> None:
    for source in ([6.9, 2.5, 1.4], [3.0, -2.5, 1.4], [-7.9, 2.0, 1.8]):  # 1, 2.6 and 8 m
        record(tmp_path, MICS, np.array(source), 0.2)
        table = locate(tmp_path, method=method)
        assert errors_m(table, np.array(source)).max() < 0.1


@pytest.mark.parametrize(
    ("source", "within_m"), [([6.9, 2.5, 1.4], 0.1), ([3.0, -2.5, 1.4], 0.1), ([-7.9, 2, 1.8], 0.3)]
)
def test_the_default_method_finds_them_too(tmp_path, source, within_m: float) -> None:
    record(tmp_path, MICS, np.array(source), 0.2)
    table = locate(tmp_path, method="steered")
    assert errors_m(table, np.array(source)).max() < within_m


LINE = np.array([[0.3, 0.1, 2], [1.1, 0.1, 2], [2.4, 0.1, 2], [3.9, 0.1, 2], [5.2, 0.1, 2]])
INSIDE = "--room 6 5 2.7"


FAR = (MICS, [-7.9, 2.0, 1.8], "", 0.0)  # 8 m outside
LEVEL = (LINE, [2.0, 2.2, 1.2], f"--plane z=1.2 {INSIDE}", 0.3)
HARD = [
    (MICS, [6.9, 2.5, 1.4], "", 0.0),  # 1 and 2.6 m outside
    (MICS, [3.0, -2.5, 1.4], "", 0.0),
    (CEILING, [4.5, 1.0, 1.6], "", 0.3),
    (CEILING, [4.5, 1.0, 1.6], INSIDE, 0.3),
    (WALL, [3.4, 2.0, 1.3], "", 0.3),
    (WALL, [3.4, 2.0, 1.3], INSIDE, 0.3),
    (LINE, [2.0, 2.2, 1.2], "--plane z=1.2", 0.3),
]
NO_PLACE = [case for case in [*HARD, FAR] if not case[2]]  # of methods that search no volume


@pytest.mark.parametrize(
    ("method", "mics", "source", "where", "t60_s"),
    [
        *[("steered", *case) for case in [*HARD, FAR]],  # its limit in the other: docs/locate.md
        *[("srp_phat", *case) for case in [*HARD, FAR, LEVEL]],
        *[("multilat_plus", *case) for case in [*HARD, FAR, LEVEL]],
        *[("tdoa_grid", *case) for case in [*HARD, FAR, LEVEL]],
        *[(name, *case) for name in ("nlls", "linear_ls") for case in NO_PLACE],
    ],
)
def test_what_is_ok_is_right(tmp_path, method: str, mics, source, where: str, t60_s: float) -> None:
    """Outside of the array, or with one that is flat: within 10 cm, or not `ok`."""
    write_mics(tmp_path / "mics.csv", mics)
    sound = heard(dry_sound(0.8), mics, np.array(source), t60_s=t60_s)[4000:]
    noise = np.random.default_rng(0).standard_normal(sound.shape)
    write_sound(tmp_path / "r.wav", sound + 0.1 * sound.std() * noise)
    table = locate(tmp_path, *where.split(), method=method)
    found = table[table["status"] == "ok"]
    assert len(table) >= 5
    assert (errors_m(found, np.array(source)) < 0.1).all()


@pytest.mark.parametrize(
    ("mics", "source", "where"),
    [
        (CEILING, [2.2, 3.1, 1.2], "--room 6 5 2.7"),
        (WALL, [3.4, 2.0, 1.3], "--box 0 0 0 8 5 2.7"),
        (CEILING - 1, [1.2, 2.1, 0.2], "--room 6 5 2.7 --corner -1 -1 -1"),
    ],
)
def test_arrays_in_a_plane_give_both_images(tmp_path, capsys, mics, source, where) -> None:
    """One of the two where the side is not known, else one on the right side."""
    record(tmp_path, mics, np.array(source))
    table = locate(tmp_path)
    assert "mirror image" in capsys.readouterr().err
    assert (table["status"] == "ambiguous").all()
    image = table[["mirror_x", "mirror_y", "mirror_z"]].set_axis(["x", "y", "z"], axis=1)
    both = [errors_m(one, np.array(source)) for one in (table, image)]
    assert np.minimum(*both).max() < 0.1
    assert len(table) == len(both[1])
    known = locate(tmp_path, *where.split())
    assert "mirror image" not in capsys.readouterr().err
    assert errors_m(known, np.array(source)).max() < 0.1
    assert (known["status"] == "ok").all()
    assert known["mirror_x"].isna().all()


def test_a_slanting_plane_has_images_too(tmp_path) -> None:
    """On a roof that rises along x and y; sources are above it or below."""
    mics = CEILING.copy()
    mics[:, 2] = 1 + 0.4 * mics[:, 0] + 0.3 * mics[:, 1]
    normal = np.array([-0.4, -0.3, 1]) / np.sqrt(1.25)
    for side in (-1.4, 1.4):
        source = mics.mean(axis=0) + side * normal + [0.4, -0.3, 0.07]
        record(tmp_path, mics, source)
        table = locate(tmp_path)
        image = table[["mirror_x", "mirror_y", "mirror_z"]].set_axis(["x", "y", "z"], axis=1)
        errors = [errors_m(one, source).max() for one in (table, image)]
        assert (table["status"] == "ambiguous").all()
        assert min(errors) < 0.02
        assert max(errors) > 2.5


def test_microphones_on_a_line_need_a_height(tmp_path, capsys) -> None:
    """At a height there are two places; which one is said by the room."""
    line = np.array([[0.3, 0.0, 2], [1.1, 0, 2], [2.4, 0, 2], [3.9, 0, 2], [5.2, 0, 2]])
    source = np.array([2.0, 2.2, 1.2])
    record(tmp_path, line, source)
    table = locate(tmp_path, "--plane", "z=1.2")
    assert (table["status"] == "ambiguous").all()
    assert errors_m(table.assign(y=table["y"].abs()), source).max() < 0.1
    assert np.allclose(table["mirror_y"], -table["y"], atol=1e-3)
    for more in ((), ("--track",)):
        known = locate(tmp_path, "--plane", "z=1.2", *more, method="steered")
        assert (known["sigma_z"] == 0).all()
        assert (known["sigma_x"] > 0).all()
    table = locate(tmp_path, "--plane", "z=1.2", "--room", *ROOM)
    assert (table["status"] == "ok").all()
    assert errors_m(table, source).max() < 0.1
    capsys.readouterr()
    given = f"locate --method srp_phat --mics {tmp_path}/mics.csv --audio {tmp_path}/r.wav"
    assert cli.main([*given.split(), "--out", str(tmp_path / "p.csv")]) == 2
    assert "on a line, around which all positions are alike (--plane" in capsys.readouterr().err
    assert cli.main([*given.split(), "--out", str(tmp_path / "p.csv"), "--plane", "x=2"]) == 2
    assert "on a line across the plane" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("method", ["srp_phat", "steered"])
def test_a_source_at_the_border_is_at_the_edge(tmp_path, method: str) -> None:
    """It may be beyond, where nothing was looked for."""
    source = np.array([4.0, 2.5, 1.4])
    record(tmp_path, MICS, source, 0.2)
    for most, status in ((3.99, "edge"), (4.1, "ok")):
        table = locate(tmp_path, "--box", 0, 0, 0, most, 5, 2.7, method=method)
        assert (table["status"] == status).all()
        assert errors_m(table, source).max() < 0.05


def test_the_default_method_does_not_trust_what_is_outside_of_the_room(tmp_path) -> None:
    record(tmp_path, MICS, np.array([6.9, 2.5, 1.4]), 0.2)
    table = locate(tmp_path, "--room", *ROOM, method="steered")
    assert table["status"].isin(["edge", "no_source", "uncertain"]).all()


@pytest.mark.parametrize("method", ["srp_phat", "multilat_plus", "steered"])
def test_three_microphones_are_enough_in_a_plane(tmp_path, method: str) -> None:
    source = np.array([2.6, 1.9, 1.2])
    record(tmp_path, MICS[[0, 3, 6]], source)
    table = locate(tmp_path, "--plane", "z=1.2", "--room", *ROOM, method=method)
    assert (table["status"] == "ok").all()
    assert (table["z"] == 1.2).all()
    assert (table["sigma_z"] == 0).all()
    assert errors_m(table, source).max() < 0.05


def test_a_plane_asks_for_a_method_that_searches_it(tmp_path, capsys) -> None:
    record(tmp_path, MICS, np.array([2.6, 1.9, 1.2]))
    base = f"locate --mics {tmp_path}/mics.csv --audio {tmp_path}/r.wav --out {tmp_path}/p.csv"
    for more, words in (
        ("--method nlls --plane z=1", "--plane: nlls searches no volume"),
        ("--method multilat --room 6 5 3", "--room: multilat searches no volume"),
        ("--method srp_phat --plane 1.2", "'1.2', expected z=HEIGHT"),
        ("--method srp_phat --corner 0 0 0", "--corner is given without --room"),
        ("--method srp_phat --room 6 5 3 --box 0 0 0 1 1 1", "--box and --room are both given"),
        ("--method srp_phat --box 0 0 0 1 -1 1", "expected low < high"),
        ("--method srp_phat --room 3 5 3", "--room: from [0.0, 0.0, 0.0] to [3.0, 5.0, 3.0] m"),
        ("--method srp_phat --window 0.016", "too long for a window of 0.016 s"),
        ("--method srp_phat --speed-of-sound -343", "expected a number from 10 to 20,000 m/s"),
        ("--method srp_phat --speed-of-sound 1500", "from 300 to 370 m/s in air"),
        ("--method srp_phat --temperature 20 --speed-of-sound 340", "both given"),
    ):
        assert cli.main([*base.split(), *more.split()]) == 2, more
        assert words in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_geometry_is_looked_at_first() -> None:
    box = volume.search_box(MICS)
    assert volume.look(NAMES, MICS, box, 0.128, 343.0) == []
    close = MICS.copy()
    close[4] = close[1] + 0.004
    assert volume.look(NAMES, close, box, 0.128, 343.0) == [
        "microphones 'm1' and 'm4' are 6.9 mm apart"
    ]
    line = np.linspace([0, 0, 1], [4, 2, 1], 6)
    with pytest.raises(InputError, match="on a line"):
        volume.look(NAMES, line, volume.search_box(line), 0.128, 343.0)
    wide = MICS * 30
    seconds = volume.window_s(wide, 343.0, fixed=False)
    (said,) = volume.look(NAMES, wide, volume.search_box(wide), seconds, 343.0)
    assert "up to 213 m apart: metres?" in said
    with pytest.raises(InputError, match=r"takes 0\.622 s .* too long for a window of 0\.128 s"):
        volume.look(NAMES, wide, volume.search_box(wide), 0.128, 343.0)


def test_a_wide_array_has_longer_frames(tmp_path) -> None:
    """Sound takes 0.13 s from one end of this one to the other."""
    mics = MICS * [6, 7, 2]
    source = np.array([14.0, 20.0, 1.4])
    record(tmp_path, mics, source, 1.2)
    assert errors_m(locate(tmp_path, "--hop", "0.3"), source).max() < 0.1
    assert errors_m(locate(tmp_path, "--hop", "0.3", "--window", "0.4"), source).max() < 0.1


def test_shells_fill_the_box_once() -> None:
    shells = Shells(np.zeros(3), np.array([4.0, 3.0, 2.0]))
    low, high = np.array([-9.0, -7, -2]), np.array([12.0, 11, 3])
    points = shells.points(low, high, 0.25)
    scale = shells.scale(points)
    volume_m3 = ((0.25 * scale) ** 3).sum()
    assert volume_m3 == pytest.approx(np.prod(high - low), rel=0.3)
    assert (points >= low).all()
    assert (points <= high).all()
    inside = ((points > 0) & (points < shells.high)).all(axis=1)
    assert (scale[inside] == 1).all()
    assert (scale[~inside] >= 2).all()
    probe = np.random.default_rng(0).uniform(low, high, (300, 3))
    nearest = np.abs(probe[:, None] - points).max(axis=2)
    near = nearest.argmin(axis=1)
    assert (nearest.min(axis=1) <= 0.26 * np.maximum(scale[near], shells.scale(probe))).all()
