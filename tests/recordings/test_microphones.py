"""Lists of microphones as people have them: dialects, encodings, units, places on the globe."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from helpers.recordings import MICS, dry_sound, errors_m, heard, locate, write_mics, write_sound
from wavloc.errors import InputError
from wavloc.recordings import microphones

ROWS = [["Küche", "0.5", "1.25", "2"], ["Flur", "-3", "0", "1.5"]]
POSITIONS = [[0.5, 1.25, 2.0], [-3.0, 0.0, 1.5]]


def lines(delimiter: str, header: str = "name,x,y,z", **changes: str) -> str:
    text = "\n".join([header.replace(",", delimiter), *(delimiter.join(row) for row in ROWS)])
    for old, new in changes.items():
        text = text.replace(old, new)
    return text + "\n"


@pytest.mark.parametrize(
    "content",
    [
        lines(",").encode(),
        lines(";").encode(),
        lines("\t").encode(),
        lines(";").replace(".", ",").encode(),
        lines("\t").replace(".", ",").encode(),
        lines(",", "Name,X,Y,Z").encode(),
        lines(",", "name,x (m),y [m],z_m").encode(),
        lines(",").replace("\n", ",by the door\n").replace("z,by the door", "z,note").encode(),
        lines(",").replace("\n", ",\n").encode(),
        (lines(",") + "\n").encode(),
        (lines(",") + ",,,\n\n").encode(),
        lines(",").replace("\n", "\r\n").encode(),
        lines(",").encode("latin-1"),
        lines(";").encode("utf-16"),
        lines(",").encode("utf-8-sig"),
        unicodedata.normalize("NFD", lines(",")).encode(),
        ("sep=;\n" + lines(";")).encode(),
    ],
)
def test_dialects_of_csv(tmp_path, content: bytes) -> None:
    (tmp_path / "mics.csv").write_bytes(content)
    array = microphones.read(tmp_path / "mics.csv")
    assert array.names == ["Küche", "Flur"]
    assert array.positions.tolist() == POSITIONS
    assert array.start_s.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: empty, expected name,x,y,z"),
        ("name,x,y\na,1,2\n", "line 1: name, x, y, expected name,x,y,z"),
        ("name,x,y,z\na,1,5,2,0,1\n", r"line 2: 6 cells, .*decimal commas need ; between"),
        ("name,x,y,z\na,1,2\n", "line 2: 3 cells, expected name,x,y,z"),
        ("name,x,y,z\na,1,2,3\n\nb,1,2,4\n", "line 3: empty row"),
        ("name,x,y,z\na,1,2,3\nb,1,2,3\n", "line 3: 'b' is at the place of 'a'"),
        ("name,x,y,z\na,1,2,3\na,1,2,4\n", "line 3: name 'a' is empty or used twice"),
        ("name,x,y,z\na,1,2,inf\n", r"line 2: \['1', '2', 'inf'\] are not finite"),
        ("name,x,y,z\n", "no microphones"),
        ("name,lat,lon\na,1,2\n", "expected name,lat,lon,alt"),
        ("name,x,y,z\na,1,2,3\nb,6000,2,3\n", "positions are 5,999 apart.*millimetres"),
        ("name,x,y,z\na,1,2,\0\n", "not readable|not numbers"),
    ],
)
def test_what_is_no_list_is_one_line(tmp_path, text: str, words: str) -> None:
    (tmp_path / "mics.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        microphones.read(tmp_path / "mics.csv")


@pytest.mark.parametrize(("units", "factor"), [("mm", 1e3), ("cm", 100), ("ft", 1 / 0.3048)])
def test_other_units_give_the_same_positions(tmp_path, units: str, factor: float) -> None:
    path = write_mics(tmp_path / "mics.csv", MICS * factor)
    assert np.allclose(microphones.read(path, units).positions, MICS)


def test_names_of_files_compare_after_normalisation(tmp_path) -> None:
    """A Mac writes an umlaut as two characters, a list made elsewhere as one."""
    names = [f"bär {k}" for k in range(len(MICS))]
    write_mics(tmp_path / "mics.csv", MICS, names)
    source = np.array([2.0, 3.0, 1.0])
    sound = heard(dry_sound(0.2), MICS, source)
    files = [tmp_path / unicodedata.normalize("NFD", f"{name}.wav") for name in names]
    for path, channel in zip(files, sound.T, strict=True):
        write_sound(path, channel)
    assert errors_m(locate(tmp_path, "--audio", *files), source).max() < 0.02


def write_globe(path, positions: np.ndarray) -> microphones.LocalPlane:
    """mics.csv of latitudes and longitudes about a place in Lund."""
    plane = microphones.LocalPlane(55.7106, 13.2107, 60.0)
    globe = plane.globe(positions)
    rows = [f"m{k},{lat:.9f},{lon:.9f},{alt:.4f}" for k, (lat, lon, alt) in enumerate(globe)]
    path.write_text("\n".join(["name,lat,lon,alt", *rows]) + "\n")
    return plane


def test_latitudes_and_longitudes_become_metres_and_come_back(tmp_path) -> None:
    pytest.importorskip("pyproj")
    source = np.array([2.0, 3.0, 1.0])
    plane = write_globe(tmp_path / "mics.csv", MICS)
    array = microphones.read(tmp_path / "mics.csv")
    apart = np.linalg.norm(array.positions[:, None] - array.positions, axis=-1)
    assert np.allclose(apart, np.linalg.norm(MICS[:, None] - MICS, axis=-1), atol=1e-3)
    write_sound(tmp_path / "r.wav", heard(dry_sound(0.2), MICS, source))
    table = locate(tmp_path)
    found = plane.metres(table[["lat", "lon", "alt"]].to_numpy(float))
    assert np.linalg.norm(found - source, axis=1).max() < 0.02
    # One degree of latitude at 55.7 degrees north is 111.3 km on the WGS84 ellipsoid.
    north = plane.metres(np.array([[55.7107, 13.2107, 60.0]]))[0]
    assert np.allclose(north, [0, 11.135, 0], atol=0.005)


def test_starts_are_read_by_name(tmp_path) -> None:
    (tmp_path / "starts.csv").write_text("name;start_s\nb;-0,5\na;12\n")
    assert microphones.read_starts(tmp_path / "starts.csv", ["a", "b"]).tolist() == [12, -0.5]
    with pytest.raises(InputError, match="no line for 'c'"):
        microphones.read_starts(tmp_path / "starts.csv", ["a", "b", "c"])
    with pytest.raises(InputError, match="line 3: 'a' is no microphone"):
        microphones.read_starts(tmp_path / "starts.csv", ["b"])
