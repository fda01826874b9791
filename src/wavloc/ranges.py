"""Ranges of the options of methods, datasets and dry sound: one table by name of the field.

Every number among our own options stands here. An option of another package that does not is any
finite number, in a method from 0 unless its name ends in ``_db``.
"""

from typing import Any, NamedTuple

from wavloc import checks
from wavloc.errors import InputError


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``; above: ``low`` itself does not count."""

    low: float = 0
    high: float = checks.INFINITE
    unit: str = ""
    above: bool = False


_TABLE = {
    Range(): "copies fewest_mics mask_most mask_shared max_lag mics min_entries min_inliers steps "
    "tops utterances_per_voice",
    Range(above=True): "batch block draws draws_single epochs fewest finalists kept most "
    "mixtures oversample peaks power_starts predict_batch sources starts",
    Range(0, 1): "dropout final_rate mask_source max_clipped_share milestones min_confidence "
    "rank_priors sure "
    "test_fraction threshold unlabelled valid_fraction valid_share warmup",
    Range(0, 1, "", True): "kept_share top_t",
    Range(0, 4): "alpha",
    Range(0, 10): "exponent",
    Range(0, 1e30, "", True): "learning_rate",
    Range(0, 100, "", True): "sim_share",
    Range(0, 1000): "audio_weight max_order mic_weight min_distance presence_weight source_weight "
    "weight_decay",
    Range(0, 1000, "", True): "decoder_depth encoder_depth songs voices",
    Range(0, 100_000, "", True): "channels coordinate_hidden embed_dim group head_hidden heads "
    "hidden_dim lags pair_hidden recurrent taps",
    Range(0, 10_000_000, "", True): "repeats test train valid",
    Range(0, 1_000_000, "samples"): "margin",
    Range(0, 1_000_000, "samples", True): "hop",
    Range(0, 1_000_000, "Hz"): "high_hz low_hz",
    Range(0, 10, "s"): "fresh_t60_high_s fresh_t60_low_s sim_t60_high_s sim_t60_low_s t60_low_s "
    "test_t60_s",
    Range(0, 10, "s", True): "t60_high_s t60_s",
    Range(0, 100, "s"): "min_seconds shift_s",
    Range(0, 1_000_000, "s"): "sim_seconds",
    Range(0.5, 1_000_000, "s"): "seconds",
    Range(0, 1_000_000, "s", True): "max_gap_s sync_reach_s",
    Range(-100, 200, "dB"): "snr_db snr_high_db snr_low_db test_snr_db",
    Range(0, 100, "dB"): "gain_jitter_db snr_jitter_db",
    Range(0, 200, "dB", True): "silence_db",
    Range(
        0, 500, "m"
    ): "height_high_m height_low_m hidden_m min_distance_m source_high source_low wall_m",
    Range(0, 500, "m", True): "cauchy_m climb_m finest_m inlier_m kernel_m "
    "peak_inlier_m power_spacing_m room soft_m spacing_m",
    Range(-1e6, 1e6, "m"): "corner shift",
}
RANGES = {name: limits for limits, names in _TABLE.items() for name in names.split()}

# Of `wavloc locate` and of `wavloc.locate`.
ASKED = {
    "room": Range(0, 500, "m", True),
    "corner": Range(-1e6, 1e6, "m"),
    "box": Range(-1e6, 1e6, "m"),
    "hop": Range(1e-3, 3600, "s"),
    "window": Range(0.016, 60, "s"),
    "bridge": Range(0, 3600, "s"),
    "detect": Range(0, 200, "dB"),
    "speed_of_sound": Range(10, 20_000, "m/s"),
    "temperature": Range(-50, 65, "degrees Celsius"),
    "silence_db": Range(0, 200, "dB"),
    "min_confidence": Range(0, 1),
}
LENGTHS = {"head_hidden": 2}
VECTORS = {"corner", "room", "shift", "source_high", "source_low"}  # x, y, z
_MOST_WHOLE = 1_000_000_000


def check(value: Any, default: Any, words: tuple[Any, ...], name: str) -> None:
    """Raise `InputError` unless an option can be what is given for it.

    name: ``methods.<name>.options.<field>`` or ``datasets...``, for the table and the message. What
    has a default that is no number, list, text or truth value is not judged. words: what text can
    be, where it is one of some.
    """
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise InputError(f"{name}: {value!r} is not true or false")
    elif isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{name}: {value!r} is not a number (now {default})")
        _check_number(value, isinstance(default, int), name)
    elif isinstance(default, str):
        if checks.text(value, name) not in (words or [value]):
            raise InputError(f"{name}: '{value}', expected one of {', '.join(words)}")
    elif isinstance(default, tuple):
        _check_list(value, default, name)


def _check_list(value: Any, default: tuple[Any, ...], name: str) -> None:
    """Numbers of one range; three of them where they are coordinates."""
    field = name.rpartition(".")[2]
    wrong = (
        LENGTHS.get(field, len(value)) != len(value) if isinstance(value, list | tuple) else True
    )
    if wrong or (default and not value):
        raise InputError(f"{name}: {checks.shown(value)}, expected a list such as {list(default)}")
    if field in VECTORS:
        low, high, unit, above = RANGES[field]
        checks.vector(value, name, low, high, unit, above=above)
    elif field in RANGES and (default or field != "mics"):
        for part in value:
            _check_number(part, bool(default) and isinstance(default[0], int), name)


def _check_number(value: Any, whole: bool, name: str) -> None:
    field = name.rpartition(".")[2]
    signed = field.endswith("_db") or not name.startswith("methods.")
    limits = RANGES.get(field, Range(-checks.INFINITE if signed else 0))
    checks.number(value, name, *limits[:3], above=limits.above)
    if whole:
        checks.number(value, name, high=_MOST_WHOLE, whole=True)


def check_together(options: Any, where: str) -> None:
    """Raise `InputError` for options of a plugin that each can be, but not together."""

    def given(name: str) -> Any:
        return getattr(options, name, None)

    for low, high in (("low_hz", "high_hz"), ("snr_low_db", "snr_high_db")):
        if None in (given(low), given(high)):
            continue
        one_value = low == "snr_low_db" and given(low) == given(high)  # a band has a width
        if given(low) >= given(high) and not one_value:
            raise InputError(
                f"{where}.options.{low}: {given(low)}, expected less than {high}, {given(high)}"
            )
    priors, peaks = given("rank_priors"), given("peaks")
    if priors is not None and (len(priors) < peaks or not any(priors[:peaks])):
        raise InputError(
            f"{where}.options.rank_priors: {list(priors)}, expected one for each of {peaks} peaks, "
            "not all 0"
        )
