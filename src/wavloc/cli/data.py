"""Commands for data: fetch, prepare, simulate, and what is hidden from methods or broken."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from wavloc.cli.common import Command, json_value, pair, say
from wavloc.errors import InputError


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("download", _download, "fetch a published data set into the cache, once")
    add.add_argument("name", help="name of its folder in the cache")
    add.add_argument(
        "--entry", type=json_value, required=True,
        help="where it is published: config entry, JSON or file, e.g. config/datasets/luvira.yaml",
    )  # fmt: skip
    add.add_argument("--cache", type=Path, default=Path("data"), help="folder of fetched files")
    add.add_argument("--root", help="folder that has the archives already")
    add.add_argument("--offline", action="store_true", help="fetch nothing, say what is missing")
    add.add_argument("--retries", type=int, default=5, help="per address (5)")
    add.add_argument("--backoff", type=float, default=2.0, help="seconds, doubled each time (2)")
    add.add_argument("--timeout", type=float, default=30.0, help="seconds without a byte (30)")

    add = command("prepare", _prepare, "collect dry speech or music into a corpus folder")
    add.add_argument("--kind", required=True, choices=["speech", "music"])
    add.add_argument(
        "--source", default="embedded", help="embedded, synthetic, folder, librispeech"
    )
    add.add_argument(
        "--options", type=json_value, default={}, help="JSON or file, e.g. {'root': PATH}"
    )
    add.add_argument("--cache", type=Path, default=Path("data"), help="folder of fetched files")
    add.add_argument("--out", type=Path, required=True, help="corpus folder to write")

    add = command(
        "simulate", _simulate, "make the Frames of one track: simulate, or cut a recording"
    )
    add.add_argument("--dataset", required=True, help="see `wavloc datasets`")
    add.add_argument("--track", required=True, help="a track or split of the dataset")
    add.add_argument("--options", type=json_value, default={}, help="config entry, JSON or file")
    add.add_argument(
        "--sound", type=pair, action="append", default=[], metavar="KIND=FOLDER",
        help="corpus of a kind (speech=..., music=...), repeatable",
    )  # fmt: skip
    add.add_argument(
        "--engine", choices=["phase_grid", "pyroomacoustics"], default="phase_grid",
        help="what computes the room: ours, or the reference to compare with (phase_grid)",
    )  # fmt: skip
    add.add_argument("--data", type=Path, help="folder of the recordings, if the dataset has some")
    add.add_argument("--out", type=Path, required=True, help="Frames folder to write")

    add = command("fault", _fault, "make microphones of Frames faulty, without saying which")
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument(
        "--kind", required=True,
        help="shift (m), rotation (degrees), swapped (pairs), moved (m), dead (microphones), "
        "noisy (deviation of the noise over that of the signal), clipped (dB), delayed (ms)",
    )  # fmt: skip
    add.add_argument("--level", type=float, required=True, help="how bad, in the kind's unit")
    add.add_argument("--mics", type=int, default=1, help="faulty microphones per frame (1)")
    add.add_argument("--dataset", default="", help="name that enters the seed")
    add.add_argument("--out", type=Path, required=True, help="Frames folder to write")

    add = command("mix", _mix, "let several sources sound at once in each frame")
    add.add_argument("--frames", type=Path, required=True, help="Frames folder or .npz")
    add.add_argument(
        "--partners", type=Path, nargs="+", required=True,
        help="Frames of the same array that the other sources are drawn from",
    )  # fmt: skip
    add.add_argument("--sources", type=int, required=True, help="sources in each frame")
    add.add_argument("--dataset", default="", help="name that enters the seed")
    add.add_argument("--out", type=Path, required=True, help="Frames folder to write")

    add = command("subset", _subset, "draw the microphones that are known in each frame")
    add.add_argument("--frames", type=Path, required=True)
    add.add_argument("--mics", type=int, required=True, help="microphones per frame")
    add.add_argument("--dataset", default="", help="name that enters the seed")
    add.add_argument("--out", type=Path, required=True, help=".npy file to write")


def _download(args: argparse.Namespace) -> None:
    from wavloc.datasets import fetch

    started = time.perf_counter()
    entry = args.entry.get("download", args.entry)
    if args.root:
        entry = {**entry, "root": args.root}
    network = fetch.Network(args.offline, args.retries, args.backoff, args.timeout)
    manifest = fetch.fetch(args.name, entry, args.cache, network)
    folder = fetch.folder_of(args.name, entry, args.cache)
    for archive, found in manifest["archives"].items():
        say(
            f"{archive}: {found['bytes']} bytes, {found['files']} files, "
            f"{' '.join(found['checksums'])}"
        )
    say(
        f"download {args.name}: {len(manifest['archives'])} archives in {folder}, "
        f"{time.perf_counter() - started:.1f} s; licence: {manifest['licence']}"
    )


def _prepare(args: argparse.Namespace) -> None:
    from wavloc.datasets import sound
    from wavloc.files import read_json

    started = time.perf_counter()
    sound.prepare(args.kind, args.source, args.out, args.options, args.cache, args.seed)
    counts = read_json(args.out / "meta.json").get("counts", {})
    for what, count in counts.items():
        say(f"{what}: {count if isinstance(count, int) else json.dumps(count)}")
    say(f"prepare {args.kind} ({args.source}): {time.perf_counter() - started:.1f} s")


def _simulate(args: argparse.Namespace) -> None:
    from wavloc import datasets, frames
    from wavloc.datasets.sound.corpus import Corpus

    dataset = datasets.create(args.dataset, args.options, args.seed, args.data)
    dataset.check_track(args.track)
    started = time.perf_counter()
    recorded = dataset.recorded(args.track)
    if recorded is not None:
        recorded.save(args.out)
        _say_warnings(recorded.meta)
        count = {key: recorded.meta.get(f"frames_{key}", 0) for key in ("silent", "unlabelled")}
        say(
            f"cut {args.dataset}/{args.track}: {len(recorded)} frames kept, {count['silent']} "
            f"silent, {count['unlabelled']} without a label, {time.perf_counter() - started:.1f} s"
        )
        return
    from wavloc.simulation.render import render  # loads torch

    sounds = {kind: Corpus.load(path) for kind, path in args.sound}
    missing = [kind for kind in dataset.sounds if kind not in sounds]
    if missing:
        raise InputError(f"dataset '{args.dataset}' needs --sound {missing[0]}=FOLDER")
    scenes = dataset.scenes(args.track, sounds)
    _say_warnings(scenes.meta)
    identity = [args.dataset, args.track, args.options, {k: c.meta for k, c in sounds.items()}]
    render(scenes, args.out, args.seed, [*identity, scenes.meta], args.engine)
    kept, seconds = len(frames.load(args.out)), time.perf_counter() - started
    say(
        f"simulate {args.dataset}/{args.track}: {len(scenes)} frames, {kept} kept, "
        f"{seconds:.1f} s, {len(scenes) / seconds:.0f} frames/s"
    )


def _say_warnings(meta: dict[str, Any]) -> None:
    for line in meta.get("warnings", []):
        say(f"warning: {line}")


def _fault(args: argparse.Namespace) -> None:
    from wavloc import frames
    from wavloc.simulation import faults

    data = frames.load(args.frames)
    given = (args.kind, args.level, args.mics, args.seed, args.dataset)
    faults.apply(data, *given).save(args.out)
    say(f"fault {args.kind} {args.level:g} {faults.KINDS[args.kind].unit}: {len(data)} frames")


def _mix(args: argparse.Namespace) -> None:
    import numpy as np

    from wavloc import frames
    from wavloc.simulation import mixtures

    data = frames.load(args.frames)
    partners = frames.concatenate([frames.load(path) for path in args.partners])
    counts = np.full(len(data), args.sources)
    mixtures.mixed(data, partners, counts, args.seed, args.dataset).save(args.out)
    say(f"mix {args.sources} sources: {len(data)} frames, partners of {len(partners)}")


def _subset(args: argparse.Namespace) -> None:
    import numpy as np

    from wavloc import files, frames, setups

    data = frames.load(args.frames)
    drawn = setups.draw_subsets(len(data), data.n_mics, args.mics, args.dataset, args.seed)
    with files.replacing(args.out) as temporary, temporary.open("wb") as handle:
        np.save(handle, drawn)
