"""The simulation of the wav2pos paper (Fig. 3): one microphone on each face of a room.

Microphones, source and reverberation are new in every example; speakers of the test split are
never in the training or validation split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.base import Dataset as Base
from wavloc.datasets.base import Scenes, Split, require_positive, require_room
from wavloc.datasets.sound.corpus import Corpus
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES

SPLITS = ("train", "valid", "test")
CLEAN = "test_clean"  # the test split without noise: what de-noised signals are compared with


@dataclasses.dataclass(frozen=True)
class Options:
    """Sizes; the published set has 20,000 training and 2,000 test examples."""

    train: int = 20_000
    valid: int = 1_000
    test: int = 2_000
    repeats: int = 10  # examples of one utterance share its microphones, as in the public code
    margin: int = 800  # samples stored on both sides of a frame
    room: tuple[float, ...] = (5.0, 5.0, 2.0)
    source_low: tuple[float, ...] = (0.5, 0.5, 0.25)
    source_high: tuple[float, ...] = (4.5, 4.5, 1.75)
    t60_low_s: float = 0.0  # training and validation draw uniformly between the two
    t60_high_s: float = 0.4
    test_t60_s: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)  # the test split sweeps these ...
    test_snr_db: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0)  # ... by these
    max_order: int = 0  # cap on the image order, 0 = Sabine's
    min_distance_m: float = 0.3  # source to microphone


class Dataset(Base):
    """Six microphones, one uniform on each face; speaker-disjoint splits."""

    label = "six faces"
    reference = "Berg et al. 2024, Sec. IV (simulated data)"
    sounds = ("speech",)
    Options = Options

    def tracks(self) -> list[str]:
        return [*SPLITS, CLEAN]

    def splits(self) -> dict[str, Split]:
        """One split; its three parts have no speaker in common."""
        return {"speakers": Split(train=("train",), valid=("valid",), test=("test",))}

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        self.check_track(track)
        options, asked = self.options, track
        track = "test" if asked == CLEAN else track
        count = getattr(options, track)
        require_room(self.name, options.room)
        require_positive(
            self.name, t60_high_s=options.t60_high_s, repeats=options.repeats, **{track: count}
        )
        samples = FRAME_SAMPLES + 2 * options.margin
        corpus = sounds["speech"].select(split=track)
        long_enough = np.flatnonzero(corpus.items["n_samples"].to_numpy() >= samples)
        if len(long_enough) == 0:
            raise InputError(
                f"the speech corpus has no utterance of at least {samples / SAMPLE_RATE:.2f} s "
                f"in split '{track}' (speakers there: {corpus.items['speaker'].nunique()})"
            )
        draws = [self._draw(track, k, long_enough, corpus, samples) for k in range(count)]
        column = {name: np.array([draw[name] for draw in draws]) for name in draws[0]}
        items = corpus.items.iloc[column.pop("item")]
        snr_db = np.full(count, np.inf) if asked == CLEAN else column["snr"]
        begin = items["start_sample"].to_numpy()
        scenes = Scenes(
            room=np.array(options.room),
            mics=column["mics"],
            source=column["source"],
            dry=corpus.samples,
            start=begin + column["offset"],
            dry_begin=begin,
            dry_end=begin + items["n_samples"].to_numpy(),
            t60_s=column["t60"],
            snr_db=snr_db,
            table=pd.DataFrame(
                {
                    "frame": np.arange(count),
                    "recording": items["id"].to_numpy(),
                    "track": asked,
                    "time_s": column["offset"] / SAMPLE_RATE,
                    "t60_nominal_s": column["t60"],
                    "snr_db": snr_db,
                    "speaker": items["speaker"].to_numpy(),
                    "split": track,
                }
            ),
            samples=samples,
            sample_rate=SAMPLE_RATE,
            max_order=options.max_order or None,
            meta={"sound": corpus.meta},
        )
        scenes.check()
        return scenes

    def _draw(
        self, track: str, index: int, usable: np.ndarray, corpus: Corpus, samples: int
    ) -> dict[str, object]:
        """One example, from a stream of its own: a longer or reordered set keeps it unchanged."""
        options = self.options
        room = np.array(options.room)
        group, rng = index // options.repeats, seeds.rng(self.seed, self.name, track, index)
        shared = seeds.rng(self.seed, self.name, track, "utterance", group)
        item = int(usable[shared.integers(len(usable))])
        mics = faces(room, shared)
        if track == "test":
            t60s, snrs = options.test_t60_s, options.test_snr_db
            t60 = t60s[index // len(snrs) % len(t60s)]
            snr = snrs[index % len(snrs)]
        else:
            # Training noise is drawn anew in every epoch; what is stored is clean.
            t60, snr = rng.uniform(options.t60_low_s, options.t60_high_s), np.inf
        for _ in range(100):
            source = rng.uniform(options.source_low, options.source_high)
            if np.linalg.norm(mics - source, axis=1).min() >= options.min_distance_m:
                break
        else:
            raise InputError(
                f"datasets.{self.name}.options.min_distance_m: no source position at least "
                f"{options.min_distance_m} m from every microphone in 100 draws"
            )
        # The loudest of a few windows: a frame in a pause has no source to be found.
        room_left = int(corpus.items["n_samples"].iloc[item]) - samples
        offsets = rng.integers(0, room_left + 1, size=8)
        sound = corpus.audio(item)
        middle = slice(options.margin, options.margin + FRAME_SAMPLES)
        power = [np.square(sound[o : o + samples][middle]).mean() for o in offsets]
        return {
            "item": item,
            "mics": mics,
            "source": source,
            "t60": float(t60),
            "snr": float(snr),
            "offset": int(offsets[int(np.argmax(power))]),
        }


def faces(room: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A uniform point on floor, ceiling, y = 0, x = 0, x = max, y = max: (6, 3) metres."""
    points = rng.uniform(0, room, (6, 3))
    for row, axis, far in ((0, 2, 0), (1, 2, 1), (2, 1, 0), (3, 0, 0), (4, 0, 1), (5, 1, 1)):
        points[row, axis] = far * room[axis]
    return points
