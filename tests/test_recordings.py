"""From a list of microphones and files to frames: what is impossible is named."""

from __future__ import annotations

import numpy as np
import pytest

from wavloc import recordings
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS

SOUND = np.random.default_rng(0).standard_normal((11, 8000)).astype(np.float32)


@pytest.mark.parametrize("hop", [0, -1, float("nan"), float("inf"), 1e-9, 1e9, "fast"])
def test_impossible_hops_are_named(hop: object) -> None:
    with pytest.raises(InputError, match=r"hop: .*, expected a number from 0\.001 to 3,600 s"):
        recordings.cut(SOUND, 16000, LUVIRA_MICS, hop)


@pytest.mark.parametrize("speed", [-343, 0, 5, float("nan"), 1e9, 1500])
def test_impossible_speeds_are_named(speed: float) -> None:
    with pytest.raises(InputError, match=r"speed of sound: .* from 300 to 370 m/s in air"):
        recordings.cut(SOUND, 16000, LUVIRA_MICS, 0.064, speed)


def test_another_medium_is_kept_with_the_frames(tmp_path) -> None:
    frames = recordings.cut(SOUND, 16000, LUVIRA_MICS, 0.064, 1482.0, other_medium=True)
    frames.save(tmp_path / "f")
    assert frames.meta == {"other_medium": True}


@pytest.mark.parametrize("below_db", [-3, float("nan"), 1000])
def test_impossible_silence_is_named(below_db: float) -> None:
    frames = recordings.cut(SOUND, 16000, LUVIRA_MICS, 0.064)
    with pytest.raises(InputError, match=r"silence: .*, expected a number from 0 to 200 dB"):
        recordings.silent(frames, below_db)


def test_microphones_in_millimetres_are_noticed(tmp_path) -> None:
    rows = "\n".join(f"m{k},{1000 * k},{7 * k},1" for k in range(6))
    (tmp_path / "mics.csv").write_text(f"name,x,y,z\n{rows}\n")
    with pytest.raises(InputError, match=r"mics\.csv: positions are 5,000 apart.*millimetres"):
        recordings.read_mics(tmp_path / "mics.csv")
