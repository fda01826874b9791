"""Base of simulated speech datasets of independent examples with speaker-disjoint splits.

Every example has its own source position. The datasets decide how microphones, source positions and
T60 are drawn.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets import base
from wavloc.datasets.base import Scenes, Split
from wavloc.datasets.sound.corpus import SPLITS, Corpus
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES

CLEAN = "test_clean"  # the test split without noise: the reference for denoised signals


@dataclasses.dataclass(frozen=True)
class ExampleOptions:
    """Options of the examples; the default sizes are those of the published six-face set."""

    train: int = 20_000  # examples per split
    valid: int = 1_000
    test: int = 2_000
    repeats: int = 10  # consecutive examples of one utterance and one array (public code)
    margin: int = 800  # samples stored on both sides of a frame
    room: tuple[float, ...] = (5.0, 5.0, 2.0)
    t60_low_s: float = 0.0  # training and validation: uniform between the two
    t60_high_s: float = 0.4
    test_snr_db: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0)  # of the test split, in turn
    max_order: int = 0  # cap on the image order, 0 = Sabine's
    min_distance_m: float = 0.3  # between source and microphones


class SpeakerExamples(base.Dataset):
    """Examples by split, whose speakers are in no other split."""

    sounds = ("speech",)
    Options = ExampleOptions

    def array(self, rng: np.random.Generator) -> np.ndarray:
        """Microphones (M, 3) of the examples of one utterance, in room coordinates (m)."""
        raise TypeError(f"dataset '{self.name}' defines no array()")

    def source_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner (3,) of the source positions, in room coordinates (m)."""
        raise TypeError(f"dataset '{self.name}' defines no source_box()")

    def t60_s(self, track: str, index: int, rng: np.random.Generator) -> float:
        """Nominal T60 of an example in seconds."""
        return rng.uniform(self.options.t60_low_s, self.options.t60_high_s)

    def tracks(self) -> list[str]:
        return [*SPLITS, CLEAN]

    def splits(self) -> dict[str, Split]:
        """One split, whose three parts have no speaker in common."""
        return {"speakers": Split(train=("train",), valid=("valid",), test=("test",))}

    def check(self) -> None:
        """Raise `InputError` for options that do not go together."""
        options, where = self.options, f"datasets.{self.name}.options"
        if options.t60_low_s > options.t60_high_s:
            raise InputError(
                f"{where}: T60 from t60_low_s {options.t60_low_s} to t60_high_s "
                f"{options.t60_high_s}, expected 0 <= low <= high"
            )

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """Examples of a split, or for `CLEAN` those of the test split without noise."""
        self.check_track(track)
        options = self.options
        split = "test" if track == CLEAN else track
        count = getattr(options, split)
        self.check()
        samples = FRAME_SAMPLES + 2 * options.margin
        corpus = sounds["speech"].select(split)
        long_enough = np.flatnonzero(corpus.items["n_samples"].to_numpy() >= samples)
        if len(long_enough) == 0:
            raise InputError(
                f"the speech corpus has no utterance of at least {samples / SAMPLE_RATE:.2f} s "
                f"in split '{split}' (speakers there: {corpus.items['speaker'].nunique()})"
            )
        draws = [self._draw(split, k, long_enough, corpus, samples) for k in range(count)]
        column = {name: np.array([draw[name] for draw in draws]) for name in draws[0]}
        items = corpus.items.iloc[column.pop("item")]
        snr_db = np.full(count, np.inf) if track == CLEAN else column["snr"]
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
                    "track": track,
                    "time_s": column["offset"] / SAMPLE_RATE,
                    "t60_nominal_s": column["t60"],
                    "snr_db": snr_db,
                    "speaker": items["speaker"].to_numpy(),
                    "split": split,
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
        self, split: str, index: int, usable: np.ndarray, corpus: Corpus, samples: int
    ) -> dict[str, Any]:
        """One example, drawn from its own random stream, so that it does not depend on others.

        usable: items of the corpus that are long enough for ``samples`` samples.
        """
        options = self.options
        group, rng = index // options.repeats, seeds.rng(self.seed, self.name, split, index)
        shared = seeds.rng(self.seed, self.name, split, "utterance", group)
        item = int(usable[shared.integers(len(usable))])
        mics = self.array(shared)
        t60 = self.t60_s(split, index, rng)
        # Training adds new noise in every epoch, so its stored frames are clean.
        snrs = options.test_snr_db if split == "test" else (np.inf,)
        snr = snrs[index % len(snrs)]
        source = base.draw_source(rng, *self.source_box(), mics, options.min_distance_m)
        if source is None:
            raise InputError(
                f"datasets.{self.name}.options.min_distance_m: no source position at least "
                f"{options.min_distance_m} m from every microphone in 100 draws"
            )
        # The loudest of eight windows, because a frame in a pause has no source to locate.
        last = int(corpus.items["n_samples"].iloc[item]) - samples
        offsets = rng.integers(0, last + 1, size=8)
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
