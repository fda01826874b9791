"""Recordings with faults that nobody mentions: they are named, or no wrong position is trusted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import wavloc
from helpers.spoken import ROOM, SIX, recording, speech
from wavloc.audio import SAMPLE_RATE

FOOT_M = 0.3048
WITHIN_M = 0.3
PATH = np.array(
    [[1.1, 1.6, 1.6], [3.4, 1.0, 1.4], [4.6, 3.8, 1.5], [1.2, 2.6, 1.4], [2.7, 3.4, 1.6]]
)
LATE = [0, -48, 31, 48, -20, 9]  # samples of up to 3 ms


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Five seconds of a voice that changes its place every second, T60 0.2 s."""
    return recording(speech(5.0, seed=2), path=PATH, seed=2, step_s=1.0)


def located(channels: np.ndarray, mics: np.ndarray = SIX, unit: float = 1.0, **asked: object):
    """Table of the frames half a second after each change of place, their errors in metres, and
    what was said.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = wavloc.locate(channels.astype(np.float32), mics, SAMPLE_RATE, hop=0.5, **asked)
    table = found.table.iloc[1::2]
    errors = np.linalg.norm(table[["x", "y", "z"]].to_numpy(float) * unit - PATH, axis=1)
    return table, errors, " ".join(found.warnings)


def wrong(table, errors: np.ndarray) -> int:
    """How many positions are trusted and are not where the source is."""
    return int(((table["status"] == "ok").to_numpy() & ~(errors < WITHIN_M)).sum())


FAULTS = {
    "two swapped": (lambda x: x[[0, 4, 2, 3, 1, 5]], "'m2' and 'm5' seem swapped"),
    "reversed": (lambda x: x[::-1], ""),
    "each 44 ms later": (lambda x: np.stack([np.roll(c, 704 * k) for k, c in enumerate(x)]), ""),
    "one 44 ms late": (lambda x: np.concatenate([x[:5], np.roll(x[5:], 704, 1)]), "'m6'"),
    "out of step by 3 ms": (lambda x: np.stack(list(map(np.roll, x, LATE))), ""),
    "half inverted": (lambda x: x * np.array([1, -1] * 3)[:, None], ""),
    "all the same": (lambda x: np.repeat(x[:1], 6, axis=0), "share"),
}


def test_without_a_fault_all_are_right(clean) -> None:
    for method in ("steered", "srp_phat"):
        table, errors, said = located(clean, room=ROOM, method=method)
        assert (errors < 0.05).sum() >= 4
        assert wrong(table, errors) == 0
        assert (table["status"] == "ok").sum() >= 4
        assert said == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_or_nothing_wrong_is_trusted(clean, fault: str) -> None:
    """The latter holds nearly always where it is named, too."""
    change, words = FAULTS[fault]
    table, errors, said = located(change(clean), room=ROOM, check=bool(words))
    assert words in said
    assert wrong(table, errors) <= bool(words)


def test_coordinates_in_feet_give_no_wrong_position(clean) -> None:
    table, errors, _ = located(clean, SIX / FOOT_M, FOOT_M, check=False)
    assert wrong(table, errors) == 0
    table, errors, _ = located(clean, SIX / FOOT_M, units="ft", room=ROOM, check=False)
    assert (errors < 0.05).sum() >= 4
    assert (table["status"] == "ok").sum() >= 4


def test_noise_of_all_channels_hides_the_source_but_misleads_nobody(clean) -> None:
    noise = np.random.default_rng(0).standard_normal(clean.shape[1]) * clean.std()
    for method in ("steered", "srp_phat"):
        table, errors, _ = located(clean + noise, room=ROOM, method=method, check=False)
        assert wrong(table, errors) == 0
