"""Numbers at the door: range, unit and name in one line."""

from __future__ import annotations

import numpy as np
import pytest

from wavloc import checks
from wavloc.errors import InputError


@pytest.mark.parametrize("value", [300, 343.0, 370, np.float32(340.5), np.int64(343)])
def test_good_numbers_pass_unchanged(value: object) -> None:
    assert checks.number(value, "speed", 300, 370, "m/s") is value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        -343,
        0,
        299.9,
        1e300,
        True,
        None,
        "343",
        [343],
        10**400,
    ],
)
def test_bad_numbers_name_field_range_and_unit(value: object) -> None:
    with pytest.raises(InputError, match=r"^speed: .*, expected a number from 300 to 370 m/s$"):
        checks.number(value, "speed", 300, 370, "m/s")


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        (2.5, {"low": 1, "whole": True}, "a whole number of at least 1"),
        (0, {"low": 0, "above": True, "unit": "s"}, "a number above 0 s"),
        (11, {"high": 10}, "a number of at most 10"),
        (float("nan"), {}, "a number"),
    ],
)
def test_ranges_in_words(value: object, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=f"^n: {value}, expected {words}$"):
        checks.number(value, "n", **options)


def test_vectors_are_three_numbers() -> None:
    assert checks.vector(np.array([1, 2, 3]), "room") == [1, 2, 3]
    for value in ("big", [1, 2], [[1, 2, 3]], [1, 2, "x"], [1, float("nan"), 2], None, [0, 1, 1]):
        with pytest.raises(InputError, match=r"^room"):
            checks.vector(value, "room", 0, 500, above=True)


def test_long_values_are_cut() -> None:
    assert len(checks.shown("x" * 1000)) == 80
