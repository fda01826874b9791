"""A quarter of an hour with a GPU: bounds of its fast modes, then wav2pos at its published size.

    python benchmarks/gpu_quarter_hour.py --out FOLDER [--results results/night]
    python benchmarks/gpu_quarter_hour.py --minutes 2 --device cpu --sound synthetic --out FOLDER

The checks of check_gpu.py get a `CHECK` share of the time. Then frames of split 3 of the twin are
simulated on all cores for a `DATA` share, the takes of the default run and as much of their
extension as comes; --results takes those of a finished run. NGCC-PHAT is trained for a `PRETRAIN`
share unless a model is named, and wav2pos for the rest, with its features kept on the device. As
many frames are used as the device and a `FEATURES` share hold, and as many passes are planned as a
trial of two says. After every minute of training the predictions of music3 and speech3 (setup 1a,
11 microphones), the model and a json are replaced by those of the pass that is best on held-out
frames so far. Test frames are predicted, never scored. On a CPU a few frames show that all of it
runs. The same command goes on with what is in OUT/work, for --minutes more.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import check_gpu
import numpy as np
import torch
from measuring import input_errors

from wavloc import config, devices, files, frames, jobs, provenance, seeds
from wavloc.datasets import sound
from wavloc.datasets.base import Scenes
from wavloc.datasets.sound.corpus import Corpus
from wavloc.datasets.takes.eight import SIM
from wavloc.errors import InputError
from wavloc.methods import registry
from wavloc.methods.learned.base import MODEL
from wavloc.plan import Model, Plan
from wavloc.setups import Setup
from wavloc.simulation.render import render
from wavloc.training.engine import Run
from wavloc.training.store import Batch, Store

TWIN, SPLIT = "luvira_twin", "3"
CHECK, DATA, PRETRAIN, FEATURES, LAST = 0.2, 0.15, 0.15, 0.1, 0.05  # shares; LAST: to write
EVERY_S = 60.0  # of training between predictions
PART = 256  # simulated frames of one task
EXTENSION = 5_600  # frames of six extensions of 120 s, each used once
MEMORY, BYTES = 0.7, 260_000  # share of the free memory; sound and features of a frame
TRIAL, PLANNED = 2_048, 0.9  # frames of the trial of NGCC-PHAT; share of the time for passes
UNKNOWN_MS = 10.0  # features of a frame, where the checks do not say
PAYS = 0.8  # a compiled step below this part of the time of a plain one pays for its compilation
FRAMES = {"cuda": 60_000, "cpu": 32}  # at most, with those held out
SOUND = {  # seconds of a take, voices; those of the default run on a GPU
    "cuda": (20.0, {"voices": 16, "utterances_per_voice": 12}),
    "cpu": (1.5, {"voices": 4, "utterances_per_voice": 3}),
}
CHECKS = {
    "cuda": {"batch": 64, "mics": 11, "rounds": 5, "product": 8192},
    "cpu": {"batch": 2, "mics": 2, "rounds": 1, "product": 256},
}


class OnDevice(Store):
    """A store whose arrays stay on the device from one minute of training to the next."""

    def __init__(self, device: torch.device, folder: Path, most_gb: float = 64.0):
        super().__init__(folder, most_gb)
        self.device, self.held = device, dict[str, Batch]()

    def kept(self, made_of: Any, count: int, size: int, *how: Any) -> Batch:
        key = provenance.digest([made_of, count, size])
        if key not in self.held:
            arrays = super().kept(made_of, count, size, *how)
            self.held[key] = {name: value.to(self.device) for name, value in arrays.items()}
        return self.held[key]


def checked(args: argparse.Namespace, device: torch.device, seconds: float) -> list[dict]:
    """Rows of check_gpu.py. One that says so where it fails or takes longer than ``seconds``."""
    compiled = args.compile != "no" and device.type == "cuda"
    given = argparse.Namespace(**CHECKS[device.type], compile=compiled)
    pool = multiprocessing.get_context("spawn").Pool(1)
    try:
        rows = pool.apply_async(check_gpu.run, (given, device)).get(seconds)
        return [{k: v for k, v in row.items() if v == v} for row in rows]  # JSON has no NaN
    except multiprocessing.TimeoutError:
        return [{"part": "checks", "mode": f"not done after {seconds:.0f} s"}]
    except Exception as error:  # the training may do without what fails here
        return [{"part": "checks", "mode": repr(error)[:200], "passed": False}]
    finally:
        pool.terminate()


def once(path: Path, make: Callable[[], Any]) -> Any:
    """JSON of a file, made unless it is there: what a run that was cut goes on with."""
    if not path.is_file():
        files.write_json(path, make())
    return files.read_json(path)


def speed(rows: list[dict], part: str, mode: str) -> float:
    """Milliseconds per frame that the checks measured; NaN where they did not."""
    found = (r["ms_per_frame"] for r in rows if (r["part"], r["mode"]) == (part, mode))
    return next(found, float("nan"))


# ------------------------------------------------------------------ frames


def planned(args: argparse.Namespace, device: torch.device) -> Plan:
    """Published networks on the takes of the default run; extensions have the frames asked for."""
    args.frames = args.frames or FRAMES[device.type]
    seconds, voices = SOUND[device.type]
    share = args.frames / EXTENSION
    options = {"seconds": seconds, "sim_seconds": 120, "sim_share": share}
    chosen = config.merge({"wav2pos": {"copies": 1}}, args.options)  # 1: its features are kept
    made = {
        "networks": "full",
        **{"speech": args.sound, "music": args.sound, "sound": {"speech": voices}},
        "pathvars": {"results": str(args.out / "work")},
        "datasets": {TWIN: {"options": options}},
        "methods": {name: {"options": more} for name, more in chosen.items()},
    }
    file = args.out / "work" / "config.yaml"
    if file.is_file() and files.read_json(file) != made:
        raise InputError(f"{file}: begun with other options, expected the same or another --out")
    files.write_json(file, made)  # JSON is YAML
    return Plan(config.load(file))


def tasks(plan: Plan, folder: Path) -> Iterator[tuple[Scenes, Path]]:
    """Whole takes, then parts of the extensions, drawn at random, of all tracks in turn."""
    sounds = {kind: Corpus.load(corpus) for kind, corpus in plan.sounds_of(TWIN).items()}
    dataset, parts = plan.dataset(TWIN), []
    split = dataset.splits()[SPLIT]
    for track in (*split.test, *split.train):  # takes come before extensions
        scenes = dataset.scenes(track, sounds)
        if not track.endswith(SIM):
            yield scenes, folder / track
            continue
        order = seeds.rng(plan.seed, "quarter hour", track).permutation(len(scenes))
        pieces = np.array_split(order, max(1, len(order) // PART))
        parts += [(number, track, scenes, np.sort(rows)) for number, rows in enumerate(pieces)]
    for number, track, scenes, rows in sorted(parts, key=lambda part: part[0]):
        names = ("source", "start", "dry_begin", "dry_end", "t60_s", "snr_db")
        chosen: dict[str, Any] = {name: getattr(scenes, name)[rows] for name in names}
        chosen["table"] = scenes.table.iloc[rows].reset_index(drop=True)
        yield dataclasses.replace(scenes, **chosen), folder / f"{track}-{number}"


def rendered(seed: int, task: tuple[Scenes, Path]) -> str:
    """Simulate the frames of a task unless they are there: the name of their folder."""
    scenes, out = task
    if not out.is_dir():
        render(scenes, out, seed, [out.name, len(scenes)])
    return out.name


def simulated(plan: Plan, cores: int, seconds: float) -> list[str]:
    """Names of folders of training frames: all takes, and the parts that are done in time."""
    until, done = time.monotonic() + seconds, set[str]()
    split = plan.dataset(TWIN).splits()[SPLIT]
    takes = {track for track in (*split.test, *split.train) if not track.endswith(SIM)}
    for kind, out in plan.sounds_of(TWIN).items():
        if not Path(out).is_dir():
            made = jobs.prepare(plan, kind)
            sound.prepare(kind, made["source"], out, made["options"], made["cache"], plan.seed)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        given = tasks(plan, Path(plan.frames(TWIN, "")))
        for name in pool.imap_unordered(functools.partial(rendered, plan.seed), given):
            done.add(name)
            if takes <= done and time.monotonic() > until:
                break
    return sorted(done - set(split.test))


def together(folders: list[str], most: int) -> tuple[frames.Frames, frames.Frames]:
    """Training and held-out frames of some folders, ``most`` of them, spread over all tracks."""
    joined = frames.concatenate([frames.load(folder) for folder in folders], lazily=True)
    order = np.lexsort((joined.table["time_s"], joined.table["track"]))
    joined = joined.select(order[np.unique(np.linspace(0, len(order) - 1, most).astype(int))])
    return joined.hold_out(0.1)


# ------------------------------------------------------------------ training


@dataclasses.dataclass
class Training:
    """What the trainings share; how: of their `Run`."""

    plan: Plan
    work: Path
    train: frames.Frames
    valid: frames.Frames
    how: dict[str, Any]

    def fit(self, name: str, model: Path, epochs: int, seconds: float, part: float = 1) -> Any:
        """Method and run after some seconds of training; with a part of the frames: a trial."""
        entry = self.plan.methods[name].changed({"options": {"epochs": epochs}})
        method: Any = registry.create(entry, self.plan.seed)
        if method.pretrained:
            method.begin_with(model)
        run = Run(self.work / name, **self.how, seconds=seconds)
        few = [data.select(np.arange(round(part * len(data)))) for data in (self.train, self.valid)]
        method.fit(*few, run)
        return method, run

    def whole(self, name: str, model: Path, until: float, told: Callable[[Any, Run], None]) -> Any:
        """Train until a time, in as many passes as fit; ``told`` is called after every minute."""

        def passes() -> int:
            part = 1 if name == "wav2pos" else min(1, TRIAL / len(self.train))  # features are kept
            method, run = self.fit(name, model, 2, np.inf, part)
            run.finish()
            size = method.options.batch
            pass_s = size * max(1, len(self.train) // size) / run.rows[-1]["frames_per_s"]
            return max(1, int(PLANNED * (until - time.monotonic()) / pass_s))

        epochs = once(self.work / f"{name}.json", passes)
        while True:
            seconds = min(EVERY_S, until - time.monotonic())
            method, run = self.fit(name, model, epochs, seconds)
            told(method, run)
            if run.finished or time.monotonic() >= until:
                return method


def save(folder: Path, method: Any) -> None:
    """The model of the best pass so far."""
    with files.replacing_folder(folder, MODEL) as temporary:
        method.save(temporary)


def work(args: argparse.Namespace, device: torch.device) -> list[dict]:
    """All of it; rows of the checks."""
    started, total, out = time.monotonic(), 60 * args.minutes, args.out / "work"
    plan, result = planned(args, device), args.out / "quarter_hour.json"
    checks = once(out / "checks.json", lambda: checked(args, device, CHECK * total))
    data = Plan(plan.config, str(args.results)) if args.results else plan
    folders = data.training(Model(TWIN, SPLIT, "wav2pos"), "train")
    if not args.results:
        names = once(out / "parts.json", lambda: simulated(plan, args.cores, DATA * total))
        folders = [plan.frames(TWIN, name) for name in names]
    precision = "bf16" if device.type == "cuda" else "auto"
    memory = MEMORY * (devices.free_bytes(device) or np.inf) / BYTES
    measured = speed(checks, "features", precision)
    in_time = FEATURES * 1000 * total / (measured if measured > 0 else UNKNOWN_MS)
    fitting = max(FRAMES["cpu"], min(memory, in_time))
    most = once(out / "most.json", lambda: int(min(args.frames, fitting)))
    train, valid = together(folders, most)
    saved = speed(checks, "step", "compiled") < PAYS * speed(checks, "step", "float32")
    how = {"device": args.device, "precision": precision, "store": OnDevice(device, out / "store")}
    training = Training(plan, out, train, valid, how)
    model = args.pretrained or out / "ngcc_phat.model"
    if not model.is_dir():
        until = time.monotonic() + PRETRAIN * total
        save(model, training.whole("ngcc_phat", model, until, lambda *done: None))
    how["compile"] = args.compile == "yes" or (args.compile == "auto" and saved)

    def told(method: Any, run: Run) -> None:
        save(args.out / "model", method)
        for track in plan.dataset(TWIN).splits()[SPLIT].test:
            tested = frames.load(data.frames(TWIN, track))
            method.predict(tested, Setup("1a")).save(args.out / f"{track}.parquet")
        note = method.training_note
        last = {"seconds": note["cost"]["seconds"], "epoch": note["epochs"]}
        last |= {"best_epoch": note["best_epoch"], "valid_mae_m": note["criterion"]}
        last |= {"frames_per_s": run.rows[-1]["frames_per_s"]}
        print(last, file=sys.stderr)
        earlier = files.read_json(result)["minutes"] if result.is_file() else []
        stamp = provenance.stamp(**run.describe(), compiled=how["compile"])
        counts = {"train_frames": len(train), "valid_frames": len(valid)}
        found = {"minutes": [*earlier, last], "history": run.rows, "finished": run.finished}
        found |= {"epochs": method.options.epochs, "checks": checks, "provenance": stamp}
        files.write_json(result, counts | found)

    training.whole("wav2pos", model, started + (1 - LAST) * total, told)
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", choices=["auto", "yes", "no"], default="auto")
    parser.add_argument("--frames", type=int, help="at most, with those held out")
    parser.add_argument("--sound", choices=["embedded", "synthetic"], default="embedded")
    parser.add_argument("--results", type=Path, help="finished run whose frames are taken")
    parser.add_argument("--pretrained", type=Path, help="model of NGCC-PHAT")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON, by method")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    (args.out / "work").mkdir(parents=True, exist_ok=True)
    with input_errors(), files.lock(args.out / ".lock"):
        device = devices.choose_device(args.device)
        rows = work(args, device)
    for row in rows:
        print(row["part"], row["mode"], row.get("deviation", ""), row.get("passed", ""))
    # On a CPU the batches are too small for the bounds of a step.
    judged = [row for row in rows if device.type == "cuda" or row["part"] != "step"]
    return int(any(row.get("passed") is False for row in judged))


if __name__ == "__main__":
    sys.exit(main())
