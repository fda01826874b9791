"""LuViRA, audio only (Yaman et al. 2024): eight recordings of a carried loudspeaker.

The recordings are cut into frames at 16 kHz; the label of a frame is the position of the
loudspeaker at its centre. The extension for training (tracks ``..._sim``) is simulated from the
recording of the 12th microphone, which is mounted on the loudspeaker.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from wavloc import audio
from wavloc.audio import SAMPLE_RATE
from wavloc.checks import number, shown
from wavloc.datasets.base import Scenes
from wavloc.datasets.sound.corpus import RUMBLE_HZ, Corpus
from wavloc.datasets.takes import names, temperature, trajectory
from wavloc.datasets.takes.eight import SIM, EightTakes, TakeOptions
from wavloc.datasets.takes.reader import ReadOptions, Take, read_take
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames

# Options that have a number for each take: from, to, unit.
BY_TAKE = {
    "sync_offset_s": (-1e6, 1e6, "seconds"),
    "temperature_c": (*temperature.POSSIBLE_C, "degrees Celsius"),
}


@dataclasses.dataclass(frozen=True)
class Options(TakeOptions, ReadOptions):
    """How the recordings are read, besides the options that the twin has too."""

    max_gap_s: float = 0.1  # no label between captured positions farther apart than this


class Dataset(EightTakes):
    """The recorded takes and their simulated extension."""

    label = "LuViRA"
    reference = "Yaman et al. 2024 (audio only); simulated extension: Berg et al. 2024, Sec. IV"
    recordings = True
    Options = Options

    def recorded(self, track: str) -> Frames | None:
        """Frames of a take; silent and unlabelled ones are dropped and counted in ``meta``."""
        self.check_track(track)
        if track.endswith(SIM):
            return None
        take = self._take(track)
        start, table = self.grid(track, take.audio.shape[1])
        time_s = table["time_s"].to_numpy()
        source = trajectory.at(time_s, take.time_s, take.track, self.options.max_gap_s)
        labelled = np.isfinite(source).all(axis=1)
        inner = _cut(take.audio, start + self.options.margin, FRAME_SAMPLES)
        heard = ~np.isnan(take.audio[:, 0])
        power = np.square(inner[:, heard]).mean(axis=(1, 2))
        silent = audio.silent(power, self.options.silence_db)
        keep = np.flatnonzero(labelled & ~silent)
        if len(keep) == 0:
            raise InputError(
                f"take '{track}': of {len(start)} frames none is left, {int(silent.sum())} are "
                f"silent and {int((~labelled).sum())} have no label"
            )
        table = table.assign(speaker=track, t60_nominal_s=np.nan, snr_db=np.nan)  # unknown
        counts = {
            "frames_recorded": len(start),
            "frames_silent": int(silent.sum()),
            "frames_unlabelled": int((~labelled & ~silent).sum()),
        }
        return Frames(
            audio=_cut(take.audio, start[keep], self.samples),
            source_audio=self._source_audio(take, start[keep]),
            mic_positions=take.mics,
            source_position=source[keep],
            table=table.iloc[keep].reset_index(drop=True),
            sample_rate=SAMPLE_RATE,
            speed_of_sound=take.speed_of_sound,
            meta=counts | {"take": take.meta, "warnings": take.warnings},
        )

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """The extension of a take, in room coordinates; the dry sound is the 12th microphone's."""
        self.check_track(track)
        take = self._take(track.removesuffix(SIM))
        if take.source_audio is None:
            raise InputError(
                f"track '{track}' is simulated from Track {len(take.mics) + 1}.wav of its take, "
                "which is missing or silent"
            )
        dry = audio.highpass(take.source_audio, RUMBLE_HZ, SAMPLE_RATE)
        start, table = self.grid(track, len(dry))
        table["speaker"] = take.name
        mics = take.mics + self.options.shift
        speed = {"speed_of_sound": take.speed_of_sound}
        scenes = self.scenes_of(dry, mics, self.extension(track, start, table, mics) | speed)
        scenes.meta |= {"take": take.meta, "warnings": take.warnings}
        return scenes

    def check_options(self) -> None:
        """Raise `InputError` for options that cannot give frames."""
        options = self.options
        super().check_options()
        where = f"datasets.{self.name}.options"
        for option, (low, high, unit) in BY_TAKE.items():
            given = getattr(options, option)
            if not isinstance(given, Mapping):
                raise InputError(f"{where}.{option}: {shown(given)}, expected {unit} by take")
            takes = {names.key(take) for take in self.takes()}
            for take, value in given.items():
                number(value, f"{where}.{option}.{take}", low, high, unit)
                if names.key(take) not in takes and (take != "all" or option != "temperature_c"):
                    raise InputError(f"{where}.{option}: no take '{take}' in {self.name}")

    def _take(self, name: str) -> Take:
        """Read a take; one shorter than a frame is an `InputError`."""
        self.check_options()
        take = read_take(self.data_folder(), name, self.options)
        if take.audio.shape[1] < self.samples:
            raise InputError(
                f"take '{name}': {take.audio.shape[1] / SAMPLE_RATE:.3f} s, shorter than one frame "
                f"with its margins ({self.samples / SAMPLE_RATE:.3f} s)"
            )
        return take

    def _source_audio(self, take: Take, start: np.ndarray) -> np.ndarray:
        """Signal (F, L) of the microphone on the loudspeaker; NaN if it is missing."""
        if take.source_audio is None:
            return np.full((len(start), self.samples), np.nan, np.float32)
        return _cut(take.source_audio[None], start, self.samples)[:, 0]


def _cut(sound: np.ndarray, start: np.ndarray, samples: int) -> np.ndarray:
    """Windows (F, M, samples) of (M, n) that begin at ``start`` (F,)."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, samples, axis=1)
    return np.ascontiguousarray(windows[:, start].transpose(1, 0, 2))
