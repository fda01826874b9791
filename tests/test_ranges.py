"""Options: every number has a range and every word is known, by one table for all."""

from __future__ import annotations

import itertools

import pytest

from wavloc import config, datasets, jobs, plugins, ranges
from wavloc.datasets import sound
from wavloc.errors import InputError
from wavloc.methods import registry
from wavloc.plan import Plan

EXAMPLES = [
    ("methods", "gnn", "milestones", [0.1, 2]),
    ("methods", "gnn", "schedule", "banana"),
    ("methods", "gnn", "lags", 10**300),
    ("methods", "gnn", "noise", None),
    ("methods", "dinn", "channels", [8, 0, 8, 8]),
    ("methods", "dinn", "channels", [8, 8.5, 8, 8]),
    ("methods", "dinn", "channels", "wide"),
    ("methods", "dinn", "scale", "banana"),
    ("methods", "multilat_plus", "rank_priors", [0.5, float("nan")]),
    ("methods", "multilat_plus", "rank_priors", []),
    ("methods", "srp_phat", "high_hz", float("inf")),
    ("methods", "nlls", "cauchy_m", 0),
    ("methods", "wav2pos", "head_hidden", [True, 4]),
    ("methods", "wav2pos", "head_hidden", [4]),
    ("methods", "wav2pos", "masking", "all"),
    ("methods", "fault_tolerant", "alpha", 5),
    ("methods", "fault_tolerant", "top_t", 0),
    ("methods", "fault_tolerant", "encoder_file", 3),
    ("methods", "multilat_ngcc", "solver", "newton"),
    ("datasets", "six_faces", "room", [5, 5]),
    ("datasets", "six_faces", "room", [5, 5, float("nan")]),
    ("datasets", "six_faces", "room", [5, 5, "2"]),
    ("datasets", "six_faces", "room", [5000, 5000, 2000]),
    ("datasets", "six_faces", "room", "big"),
    ("datasets", "six_faces", "source_low", [-1, 0, 0]),
    ("datasets", "six_faces", "test_t60_s", []),
    ("datasets", "six_faces", "test_t60_s", [0.2, -0.2]),
    ("datasets", "six_faces", "test_snr_db", [float("inf")]),
    ("datasets", "six_faces", "test_snr_db", 10),
    ("datasets", "six_faces", "train", 0),
    ("datasets", "six_faces", "train", 10**9),
    ("datasets", "six_faces", "max_order", -1),
    ("datasets", "six_faces", "repeats", 0),
    ("datasets", "luvira_twin", "shift", [0, 0, float("inf")]),
    ("datasets", "luvira_twin", "seconds", float("nan")),
    ("datasets", "luvira_twin", "t60_s", 1e9),
    ("datasets", "luvira_twin", "snr_db", 1e9),
    ("datasets", "luvira_twin", "gain_jitter_db", -1),
    ("datasets", "luvira_twin", "occlusion", "yes"),
    ("datasets", "luvira", "sync", "guess"),
    ("datasets", "luvira", "max_clipped_share", 1.5),
    ("datasets", "own_room", "corner", [0, 0]),
    ("datasets", "own_room", "mics", "mics.csv"),
    ("datasets", "own_room", "wall_m", -0.1),
]


@pytest.mark.parametrize(("kind", "module", "field", "value"), EXAMPLES)
def test_a_value_that_cannot_be_is_named_before_a_run_and_by_the_plugin(
    kind: str, module: str, field: str, value: object
) -> None:
    words = rf"^{kind}\.{module}\.options\.{field}.* (expected|is not) "
    change = {kind: {module: {"options": {field: value}}}}
    base = config.read_yaml(config.FOLDER / "config.yaml")
    with pytest.raises(InputError, match=words):
        config.resolve(config.merge(base, change))
    with pytest.raises(InputError, match=words):
        created(kind, module, {field: value})


def created(kind: str, module: str, options: dict) -> object:
    if kind == "methods":
        return registry.create(registry.Entry(module, options=options), 0)
    return datasets.create(module, {"options": options})


def numbers(kind: str) -> set[tuple[str, str]]:
    """Options that are numbers or lists of them."""
    return {
        (module, field)
        for module, path in plugins.modules(kind).items()
        if path.startswith("wavloc.")
        for field, default in plugins.option_defaults(kind, module).items()
        if isinstance(default, int | float | tuple) and not isinstance(default, bool)
    }


def test_every_number_has_a_range() -> None:
    known = {field for kind in ("methods", "datasets") for _, field in numbers(kind)}
    known |= {
        field
        for options in sound.OPTIONS.values()
        for field, default in options.items()
        if isinstance(default, int | float)
    }
    assert known == set(ranges.RANGES)


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_no_number_takes_text_nan_or_infinity(kind: str) -> None:
    bad = ["banana", float("nan"), float("inf"), -float("inf"), -1e40, 1e40, None, {}, True]
    for (module, field), value in itertools.product(numbers(kind), bad):
        several = isinstance(plugins.option_defaults(kind, module)[field], tuple)
        for given in [value, [value], [1, 1, value]] if several else [value, [value]]:
            if (module, field) == ("own_room", "mics") and isinstance(given, list):
                continue  # rows, which it checks itself
            with pytest.raises(InputError, match=rf"\.{field}"):
                plugins.check_options(kind, module, {field: given}, f"{kind}.{module}")


def test_options_that_do_not_go_together_are_named() -> None:
    for name, options, words in (
        ("six_faces", {"t60_low_s": 0.5}, "t60_low_s 0.5 to t60_high_s 0.4"),
        ("six_faces", {"source_low": [4.9, 1, 1]}, "source_low"),
        ("own_room", {"mics": [["a", 1, 1, float("nan")]]}, "mics"),
        ("own_room", {"mics": [7]}, "mics"),
    ):
        with pytest.raises(InputError, match=rf"^datasets\.{name}\.options.*{words}"):
            datasets.create(name, {"options": options}).check()
    with pytest.raises(InputError, match="snr_low_db: 40, expected less than snr_high_db, 30"):
        created("methods", "gnn", {"snr_low_db": 40})
    for method, options in (
        ("srp_phat", {"low_hz": 9000}),
        ("multilat", {"low_hz": 3000, "high_hz": 3000}),
        ("multilat_plus", {"peaks": 9}),
        ("tdoa_grid", {"rank_priors": [0.5]}),
        ("multilat_plus", {"rank_priors": [0, 0, 0, 0, 1]}),
    ):
        with pytest.raises(InputError, match=rf"^methods\.{method}\.options\..*, expected "):
            created("methods", method, options)


def test_options_of_another_package_are_only_finite() -> None:
    ranges.check(-3.0, 1.0, (), "datasets.mine.options.x_m")
    ranges.check(-30, 1.0, (), "methods.mine.options.floor_db")
    for value, name in ((-1, "methods.mine.options.x"), (float("nan"), "datasets.mine.options.x")):
        with pytest.raises(InputError, match=r"options\.x: "):
            ranges.check(value, 1.0, (), name)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("speech", "voices", "many"),
        ("speech", "voices", 10**9),
        ("speech", "utterances_per_voice", -1),
        ("speech", "min_seconds", float("nan")),
        ("speech", "test_fraction", 2),
        ("speech", "expect", 5),
        ("speech", "exclude", "84"),
        ("speech", "subset", ["test-clean"]),
        ("music", "songs", 1.5),
        ("music", "seconds", 0),
        ("music", "seconds", [60]),
    ],
)
def test_options_of_dry_sound_are_checked_before_a_run(
    kind: str, field: str, value: object
) -> None:
    with pytest.raises(InputError, match=rf"^sound\.{kind}\.{field}: .*(expected|not a number)"):
        sound.check_options(kind, {field: value})
    given = config.read_yaml(config.FOLDER / "config.yaml")
    given = config.merge(given, {"sound": {kind: {field: value}}})
    with pytest.raises(InputError, match=rf"sound\.{kind}\.{field}"):
        jobs.check(Plan(config.resolve(given)))
    with pytest.raises(InputError, match=r"sound\.music: unknown key 'voices'"):
        sound.check_options("music", {"voices": 3})
