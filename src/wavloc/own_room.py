"""The profile of the user's own room: from a microphone list to a config file."""

import dataclasses
import json
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wavloc import files, plugins
from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError
from wavloc.geometry import SPEED_OF_SOUND, max_lag
from wavloc.methods import registry
from wavloc.recordings import microphones

METHOD = "wav2pos"  # whose model the profile leaves
MAPPED = [METHOD, "multilat_plus", "multilat_plus_ngcc"]
COMPARED = ["multilat_ngcc", "srp_phat", "center", "oracle"]
TRAINED = {"epochs": 24, "copies": 4}  # one room is quickly learnt by heart from a single copy
MOST_ORDER = 600  # of reflections: 300 million images, seconds for each microphone and frame
HEARD_MICS = 4  # at which the reverberation time is measured
MADE_BY = "# Made by: wavloc own-room"
# Folders of results/ that are not a profile's.
TAKEN = {
    *("data", "models", "predictions", "metrics", "tables", "figures", "logs", "benchmarks"),
    "published",
}


@dataclasses.dataclass(frozen=True)
class Room:
    """What the user knows about the room. Metres in the coordinates of the microphone list.

    size: lengths along x, y, z; corner: where they begin; heights: of sources above the floor;
    t60_s: lowest and highest nominal reverberation time; snr_db: of what is to be located.
    """

    size: Sequence[float]
    corner: Sequence[float] = (0.0, 0.0, 0.0)
    heights: Sequence[float] = (1.0, 1.8)
    t60_s: Sequence[float] = (0.2, 0.4)
    snr_db: float = 20.0


def profile(
    mics: Path, room: Room, name: str, seed: int = 0, model: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The config of a profile that trains for a room and maps the errors to be expected there, and
    what its rooms sound like and how long they take, in sentences.

    mics: csv ``name,x,y,z``; name: of the profile, its results go to ``results/<name>``; model:
    folder of a wav2pos model to be fine-tuned.
    """
    if len(room.t60_s) > 2:
        raise InputError(f"--t60: {len(room.t60_s)} values, expected one, or lowest and highest")
    array = microphones.read(mics)
    names, places = array.names, array.positions
    options = {
        "mics": [[mic, *place.tolist()] for mic, place in zip(names, places, strict=True)],
        "room": list(room.size),
        "corner": list(room.corner),
        "height_low_m": min(room.heights),
        "height_high_m": max(room.heights),
        "t60_low_s": min(room.t60_s),
        "t60_high_s": max(room.t60_s),
        "test_snr_db": [room.snr_db],
        **{"train": 3000, "valid": 100, "test": 1500},  # published: 20000, 1000, 2000
    }
    dataset = plugins.plugin_class("datasets", "own_room")(options)
    dataset.check()
    heard = _acoustics(dataset, len(names))
    figure = {"dataset": "own_room", "setup": "1a", "mics": len(names)}
    table = {"dataset": "own_room", "setups": ["1a"], "mics": [len(names)]}
    results = f"results/{name}"
    made: dict[str, Any] = {
        "profile": name,
        "seed": seed,
        "pathvars": {
            "results": results,
            "logs": f"{results}/logs",
            "benchmarks": f"{results}/benchmarks",
        },
        "datasets": {"own_room": {"options": options}},
        "outputs": ["room_accuracy", "room_split", "room_map", "room_array"],
        "tables": {
            "room_accuracy": {
                "title": "Own room",
                "caption": "Expected accuracy: simulated frames all over the room, other speakers "
                f"than those of the training. {heard[0]}.",
                "layout": "tracks",
                **table,
                "tracks": ["test"],
                "methods": [*MAPPED, *COMPARED],
                "metrics": ["mae", "median", "acc30", "failure_rate"],
            },
            "room_split": {
                "title": "Simulated frames",
                "caption": "What was simulated; no speaker is in two parts.",
                "layout": "counts",
                **table,
                "tracks": ["train", "valid", "test"],
                "methods": [],
                "metrics": ["speakers", "utterances", "frames"],
            },
        },
        "figures": {
            "room_map": {
                "kind": "map",
                "title": "Expected MAE over the floor (cm): simulated frames of all heights; small "
                "numbers count them; cells without frames are blank.",
                **figure,
                "tracks": ["test"],
                "methods": [*MAPPED],
                "cell_m": 0.5,
            },
            "room_array": {
                "kind": "layout",
                "title": "Microphones and sources of the test frames.",
                **figure,
                "tracks": ["test"],
                "methods": [],
            },
        },
    }
    entry = _fine_tuned(model, places) if model else {"options": {}}
    made["methods"] = {METHOD: {**entry, "options": entry["options"] | TRAINED}}
    return made, heard


def _acoustics(dataset: Any, n_mics: int) -> list[str]:
    """Measured T60 of the lowest and highest nominal one, and how long the simulation takes."""
    import torch

    from wavloc.simulation import image_source, rooms

    options, measured, seconds = dataset.options, [], 0.0
    room, asked = np.array(options.room), [options.t60_low_s, options.t60_high_s]
    absorption, orders = rooms.sabine(room, np.array(asked), SPEED_OF_SOUND)
    if orders.max() > MOST_ORDER:
        raise InputError(
            f"--t60: {max(asked):g} s in a room of {room.tolist()} m needs reflections up to order "
            f"{orders.max():,}, expected at most {MOST_ORDER}"
        )
    source = torch.tensor(np.mean(dataset.source_box(), axis=0))[None]
    mics = torch.tensor(dataset.array()[:HEARD_MICS])[None]
    for share, order in zip(absorption, orders, strict=True):
        started = time.process_time()
        about = torch.tensor([share]), torch.tensor([order]), SAMPLE_RATE, SPEED_OF_SOUND
        response = image_source.impulse_responses(room, mics, source, *about)[0].numpy()
        seconds = time.process_time() - started
        measured.append(np.mean([rooms.decay_s(row, SAMPLE_RATE) for row in response]))
    frames = options.train + options.valid + options.test
    minutes = frames * seconds / mics.shape[1] * n_mics / 60
    low, high = (
        f"{nominal:g} s: {real:.2f} s" for nominal, real in zip(asked, measured, strict=True)
    )
    return [
        "T60, nominal (Sabine) and as measured in the simulated room (T20): "
        + (low if low == high else f"{low}; {high}"),
        f"the simulation takes about {math.ceil(minutes):,} minutes of a core like this one",
    ]


def _fine_tuned(folder: Path, mics: np.ndarray) -> dict[str, Any]:
    """Method entry of a training that starts from a model, with what must be as it is there."""
    model: Any = registry.load(registry.named(METHOD), folder)
    lag = max_lag(mics, model.stats.sample_rate, model.stats.speed_of_sound)
    if lag > model.stats.max_lag:
        raise InputError(
            f"{folder}: trained for delays of at most {model.stats.max_lag} samples, but these "
            f"microphones have {lag}; expected a model of an array at least as wide (without "
            "one, train anew)"
        )
    own = model.own_options(dataclasses.asdict(model.options))
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}
    return {"start": str(folder), "options": plain}


def name_of(path: Path) -> str:
    """The profile's name, which is that of its file; no other config file is written over."""
    name = path.stem
    if path.suffix != ".yaml" or not re.fullmatch(r"[\w-]+", name) or name in TAKEN:
        raise InputError(
            f"--out {path}: expected NAME.yaml of letters, digits, '_' and '-', for results/NAME"
        )
    if path.exists() and not path.read_bytes().startswith(MADE_BY.encode()):
        raise InputError(f"--out {path}: is there, not made by own-room; expected a new name")
    return name


def write(path: Path, made: dict[str, Any], options: str, heard: str) -> None:
    """Write the profile as YAML, with the options of the command and how its rooms are heard."""
    plain = json.loads(json.dumps(made))  # no value is shared, so that none becomes an alias
    text = yaml.safe_dump(
        plain, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    head = (
        f"{MADE_BY} {options}\n# {heard}.\n"
        "# Differences from config.yaml; edit as you like. What each key means: README.md here,\n"
        "# options of the room: src/wavloc/datasets/own_room.py.\n"
    )
    files.write_text(path, head + text)
