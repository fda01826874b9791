"""What `wavloc locate` and `wavloc.locate` do, from what is asked to a table of positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc import checking, ranges
from wavloc.audio import SAMPLE_RATE
from wavloc.checking import Finding
from wavloc.checks import number
from wavloc.errors import InputError
from wavloc.geometry import SPEED_OF_SOUND, check_speed, speed_in_air
from wavloc.methods.base import Method
from wavloc.recordings import events, mirror, offsets, positions, volume
from wavloc.recordings.events import Event
from wavloc.recordings.microphones import Microphones
from wavloc.recordings.positions import Found, Locator
from wavloc.recordings.sound import Recording

Tell = Callable[[str], None]  # is given what a person should know, a line at a time

CHECKED_S = 20.0  # of a recording, and ...
CHECKED_WINDOWS = 40  # ... so many windows of it, in which ...
CHECKED_MICS = 16  # ... so many channels are compared: more take as long as locating does

_APART = [("box", "room"), ("box", "corner"), ("temperature", "speed_of_sound")]
_APART += [("events", "detect")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Where and when sources are located: the options of `wavloc locate`, which docs/locate.md
    explains, with their defaults. Metres, seconds, dB, m/s; None: what suits the microphones.
    """

    room: Sequence[float] | None = None
    corner: Sequence[float] | None = None
    box: Sequence[float] | None = None
    plane: str | None = None
    hop: float = 0.064
    window: float | None = None
    events: str | Path | None = None
    detect: float | None = None
    estimate_offsets: bool = False
    estimate_drift: bool = False
    speed_of_sound: float | None = None
    temperature: float | None = None
    other_medium: bool = False
    silence_db: float = 30.0
    min_confidence: float | None = None
    check: bool = True
    track: bool = False
    bridge: float = 0.0

    def __post_init__(self) -> None:
        for name, counts in (("room", 3), ("corner", 3), ("box", 6)):
            given = getattr(self, name)
            if given is not None and np.shape(given) != (counts,):
                raise InputError(f"{_option(name)}: {given}, expected {counts} numbers in metres")
        for name, limits in ranges.ASKED.items():
            given = getattr(self, name)
            for value in () if given is None else np.ravel(given).tolist():
                number(value, _option(name), *limits[:3], above=limits.above)
        for one, other in _APART:
            if getattr(self, one) is not None and getattr(self, other) is not None:
                both = f"{_option(one)} and {_option(other)}"
                raise InputError(f"{both} are both given, expected one of them")
        if self.corner is not None and self.room is None:
            raise InputError("--corner is given without --room, expected both")
        if self.bridge and not self.track:
            raise InputError("--bridge is given without --track, expected both")
        if self.track and (self.events or self.detect is not None):
            raise InputError("--track: follows positions over time, expected no --events, --detect")
        _ = self.in_plane

    @property
    def in_plane(self) -> tuple[int, float] | None:
        """``z=1.2`` of ``plane``: number of the axis and the value."""
        if self.plane is None:
            return None
        axis, _, value = self.plane.replace(" ", "").partition("=")
        try:
            return "xyz".index(axis or "?"), number(float(value), "--plane", -1e6, 1e6, "m")
        except ValueError:
            pass
        raise InputError(f"--plane: '{self.plane}', expected z=HEIGHT in metres, or x=, y=")

    @property
    def speed(self) -> float:
        """Speed of sound in m/s."""
        if self.temperature is not None:
            return speed_in_air(self.temperature)
        speed = SPEED_OF_SOUND if self.speed_of_sound is None else self.speed_of_sound
        return check_speed(speed, "--speed-of-sound", self.other_medium)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def locator(method: Method, array: Microphones, asked: Asked, fixed: bool, tell: Tell) -> Locator:
    """The method, where it searches and how long its frames are.

    fixed: frames have the length that a model was trained on. tell: warnings about the geometry.
    """
    method, speed, mics = _surer(method, asked.min_confidence), asked.speed, array.positions
    if asked.track:
        method = _single(method)
    box = volume.search_box(mics, asked.room, asked.corner, asked.box, asked.in_plane)
    given = [name for name in ("plane", "room", "box") if getattr(asked, name) is not None]
    if given and not method.searches:
        raise InputError(
            f"--{given[0]}: {method.name} searches no volume, expected multilat_plus, srp_phat or "
            "another method that does"
        )
    window_s = asked.window
    if window_s is None:
        window_s = volume.window_s(mics, speed, fixed)
    plane = None
    if not method.any_array:
        warnings = volume.look(array.names, mics, box, window_s, speed)
        plane = mirror.of(mics, box)
        for warning in warnings + (plane.doubts(box) if plane else []):
            tell(f"warning: {warning}")
    size = round(window_s * SAMPLE_RATE)
    meta = volume.meta(plane.search(box) if plane else box)
    meta |= {"other_medium": True} if asked.other_medium else {}
    return Locator(method, mics, speed, meta, size, fixed, box=box, mirror=plane)


def _surer(method: Method, min_confidence: float | None) -> Method:
    """The method, which may be asked for more confidence."""
    if min_confidence is None:
        return method
    if not hasattr(method.options, "min_confidence"):
        raise InputError(
            f"--min-confidence: {method.name} states no confidence, expected steered or "
            "another method that does"
        )
    return method.with_options(min_confidence=min_confidence)


def _single(method: Method) -> Method:
    """The method without a track of its own: all frames are followed once, at the end."""
    if not hasattr(method, "follow"):
        raise InputError(
            f"--track: {method.name} gives no candidates to be followed, expected steered or "
            "another method that does"
        )
    return method.with_options(track=False)


def locate(
    locator: Locator, recording: Recording, array: Microphones, asked: Asked, tell: Tell
) -> Found:
    """Positions over time, or of the events that are asked for."""
    if asked.estimate_offsets or asked.estimate_drift:
        recording = _synchronised(locator, recording, array, asked.estimate_drift, tell)
    if unused := recording.unused():
        tell(unused)
    if asked.check:
        for finding in _check(locator, recording, array):
            tell(f"warning: {finding.text}")
    wanted = _events(locator, recording, asked)
    if wanted is None:
        bridge_s = asked.bridge if asked.track else None
        found = positions.over_time(locator, recording, asked.hop, asked.silence_db, bridge_s)
    else:
        found = positions.of_events(locator, recording, wanted)
    return dataclasses.replace(found, table=globe(found.table, array))


def _synchronised(
    locator: Locator, recording: Recording, array: Microphones, drift: bool, tell: Tell
) -> Recording:
    """The recording with clocks that are estimated from it, which are said."""
    found = offsets.estimate(locator, recording, array.names, drift, locator.method.seed)
    for k, name in enumerate(array.names):
        line = f"'{name}' begins at {found.clocks.start_s[k]:.6f} s"
        line += f" (+- {1e3 * found.offset_deviation_s[k]:.3f} ms)"
        if drift:
            ppm, deviation = found.clocks.drift_ppm[k], found.drift_deviation_ppm[k]
            line += f", its clock is {ppm:+.2f} ppm fast (+- {deviation:.2f})"
        tell(line)
    return dataclasses.replace(recording, clocks=found.clocks)


def _check(locator: Locator, recording: Recording, array: Microphones) -> list[Finding]:
    """What is wrong with an excerpt of a recording."""
    channels, few = recording.excerpt(CHECKED_S), len(array.names) <= CHECKED_MICS
    about = array.positions, array.names, locator.speed, CHECKED_WINDOWS if few else 0
    return checking.check(channels, recording.rate, *about).findings


def _events(locator: Locator, recording: Recording, asked: Asked) -> list[Event] | None:
    """The events that are asked for; None for positions over time."""
    if asked.events:
        return events.read(asked.events)
    if asked.detect is None:
        return None
    found = positions.detected(locator, recording, asked.detect)
    if not found:
        raise InputError(
            f"no sound is {asked.detect:g} dB over the floor, expected less (--detect)"
        )
    return found


def globe(table: pd.DataFrame, array: Microphones) -> pd.DataFrame:
    """The table with latitudes where microphones have them."""
    if array.plane:
        table[["lat", "lon", "alt"]] = array.plane.globe(table[[*"xyz"]].to_numpy(float))
    return table


def doubts(array: Microphones, found: Found) -> list[str]:
    """A line for each microphone that does not agree with the others."""
    return [
        f"warning: microphone '{name}' does not agree with the others (reliability {value:.2f}): "
        "mute, noisy, out of step, or not where mics.csv says?"
        for name, value in positions.suspicious(array.names, found.reliability)
    ]


def about(locator: Locator, recording: Recording) -> dict[str, str]:
    """What was located by what, in words."""
    seconds = recording.end_s - recording.begin_s
    return {
        "method": locator.method.name,
        "recording": f"{seconds:.1f} s at {recording.rate:,} Hz, {len(locator.mics)} microphones",
        "a position": f"of {locator.size / SAMPLE_RATE:.3f} s of sound",
    }
