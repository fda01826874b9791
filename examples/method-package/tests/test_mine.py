"""A method finds frames' sources better than chance, and does not depend on how they are split."""

import numpy as np

import wavloc

MICS = [[0.3, 0.4, 1.1], [5.5, 0.2, 2.1], [5.8, 4.6, 0.9], [0.5, 4.7, 2.3], [2.7, 0.1, 1.6]]


def test_it_is_no_worse_than_the_centre_of_the_microphones():
    frames = wavloc.simulate((6, 5, 2.7), MICS, count=20, seed=1)
    method = wavloc.method("mine")
    center = wavloc.method("center")
    found = {"mine": method.predict(frames), "center": center.predict(frames)}
    table = wavloc.evaluate(frames, found, resamples=1000)
    mae = table[table["metric"] == "mae"].set_index("method")["value"]
    assert mae["mine"] <= mae["center"]


def test_frames_are_treated_alone():
    frames = wavloc.simulate((6, 5, 2.7), MICS, count=6, seed=2)
    method = wavloc.method("mine")
    whole = method.predict(frames).position
    half = method.predict(frames.select(np.arange(3))).position
    assert np.allclose(whole[:3], half)
