"""Whether the reliability of `steered` names a microphone that is not where it is said to be.

    python benchmarks/steered_reliability.py FRAMES [FRAMES ...] [--moved 1.0]

Frames folders of tracks. Each microphone in turn is moved for a whole track; the area under the ROC
curve compares its reliability with that of the others, in single frames and pooled over the track
(mean logit).
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from wavloc import seeds
from wavloc.frames import load
from wavloc.methods.learned import steered


def area(moved: np.ndarray, others: np.ndarray) -> float:
    """Probability that a moved microphone is less reliable than another one."""
    return mannwhitneyu(others, moved).statistic / (len(moved) * len(others))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path, nargs="+")
    parser.add_argument("--moved", type=float, default=1.0, help="metres")
    args = parser.parse_args()
    torch.set_num_threads(1)
    method = steered.Method()
    for path in args.frames:
        frames = load(path)
        rng = seeds.rng(0, "steered reliability", path.name)
        alone, pooled = ([], []), ([], [])
        for mic in range(frames.n_mics):
            direction = rng.normal(size=3)
            places = np.array(np.broadcast_to(frames.mics(), (len(frames), frames.n_mics, 3)))
            places[:, mic] += args.moved * direction / np.linalg.norm(direction)
            told = method.predict(dataclasses.replace(frames, mic_positions=places)).reliability
            told = told.clip(1e-4, 1 - 1e-4)
            for kept, values in ((alone, told), (pooled, np.log(told / (1 - told)).mean(0)[None])):
                kept[0].append(values[:, mic])
                kept[1].append(np.delete(values, mic, 1).ravel())
        areas = [area(*map(np.concatenate, kept)) for kept in (alone, pooled)]
        print(
            f"{path.name}: AUC {areas[0]:.3f} by frame, {areas[1]:.4f} over the track", flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
