"""Commands for data: download, prepare, simulate, break, mix, hide microphones."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from wavloc.checks import one_of
from wavloc.cli.common import COUNT, SECONDS, Command, Parser, number, say, setting
from wavloc.errors import InputError


def register(command: Command) -> None:
    """Add the commands and their arguments."""
    add = command("download", _download, "fetch a published data set into the cache, once")
    add.add_argument("name", help="a download of the config, e.g. librispeech, luvira")
    add.json("--entry", "where it is published, instead of the config: as in config/downloads")
    add.path("--cache", "folder of fetched files (data)")
    add.add_argument("--root", help="folder that has the archives already")
    add.add_argument("--offline", action="store_true", help="fetch nothing, name what is missing")
    add.number("--retries", "per address (5)", 0, 1000, "", True)
    add.number("--backoff", "seconds, doubled each time (2)", 0, 3600, "s", dest="backoff_s")
    add.number("--timeout", "seconds without a byte (30)", SECONDS, dest="timeout_s")

    add = command("prepare", _prepare, "collect dry speech or music into a corpus folder")
    add.add_argument("--kind", required=True, choices=["speech", "music"])
    add.add_argument("--source", help="embedded, synthetic, folder or librispeech (embedded)")
    add.json("--options", "sizes, JSON or file, e.g. {'root': PATH}")
    add.path("--cache", "folder of fetched files (data)")
    add.path("--out", "corpus folder to write", required=True)

    text = "make the Frames of one track: simulate, or cut a recording"
    add = command("simulate", _simulate, text)
    add.add_argument("--dataset", required=True, help="see `wavloc datasets`")
    add.add_argument("--track", required=True, help="a track or split of the dataset")
    add.json("--options", "its config entry, JSON or file: '{\"options\": {...}}'")
    text = "corpus of each kind (speech=..., music=...)"
    add.pairs("--sound", "KIND=FOLDER", text, action="extend")
    text = "what computes the room: ours, or the reference to compare with (phase_grid)"
    add.add_argument("--engine", choices=["phase_grid", "pyroomacoustics"], help=text)
    add.path("--data", "folder of the recordings, if the dataset has some")
    add.path("--out", "Frames folder to write", required=True)

    add = command("fault", _fault, "make microphones of Frames faulty, without saying which")
    _add_drawn(add, "Frames folder to write")
    chosen = add.add_mutually_exclusive_group(required=True)
    chosen.add_argument(
        "--kind",
        help="shift (m), rotation (degrees), swapped (pairs), moved (m), dead (microphones), "
        "noisy (deviation of the noise over that of the signal), clipped (dB), delayed (ms)",
    )
    chosen.add_argument("--fault", help="a fault of the config, with its kind and microphones")
    add.add_argument(
        "--level", type=number(0, 1e6), required=True, help="how bad, in the kind's unit"
    )
    add.add_argument("--mics", type=COUNT, help="faulty microphones per frame (1)")

    add = command("mix", _mix, "let several sources sound at once in each frame")
    _add_drawn(add, "Frames folder to write")
    text = "Frames of the same array that the other sources are drawn from"
    add.paths("--partners", text, required=True)
    add.add_argument(
        "--sources", type=number(1, 16, "", True), required=True, help="sources in each frame"
    )

    add = command("subset", _subset, "draw the microphones that are known in each frame")
    _add_drawn(add, ".npy file to write")
    add.add_argument("--mics", type=COUNT, required=True, help="microphones per frame")


def _add_drawn(parser: Parser, out: str) -> None:
    """Frames that something is drawn for, and where it is written."""
    parser.path("--frames", "Frames folder or .npz", required=True)
    parser.add_argument("--dataset", default="", help="name that enters the seed")
    parser.path("--out", out, required=True)


def _download(args: argparse.Namespace) -> None:
    from wavloc import config
    from wavloc.datasets import fetch

    started = time.perf_counter()
    entry = args.entry
    if entry is None:
        published = args.plan.downloads if args.plan else config.resolve({})["downloads"]
        entry = published[one_of(args.name, sorted(published), "unknown download")]
    entry = entry.get("download", entry)
    if args.root:
        entry = {**entry, "root": args.root}
    patience = {
        key: setting(args, key, "network", key, default=getattr(fetch.Network, key))
        for key in ("retries", "backoff_s", "timeout_s")
    }
    offline = args.offline or bool(args.plan and args.plan.config["offline"])
    cache = Path(setting(args, "cache", "cache", default="data"))
    manifest = fetch.fetch(args.name, entry, cache, fetch.Network(offline, **patience))
    folder = fetch.folder_of(args.name, entry, cache)
    for archive, record in manifest["archives"].items():
        sums = " ".join(record["checksums"])
        say(f"{archive}: {record['bytes']} bytes, {record['files']} files, {sums}")
    say(
        f"download {args.name}: {len(manifest['archives'])} archives in {folder}, "
        f"{time.perf_counter() - started:.1f} s; licence: {manifest['licence']}"
    )


def _prepare(args: argparse.Namespace) -> None:
    from wavloc import jobs
    from wavloc.datasets import sound
    from wavloc.datasets.sound.corpus import CONTENT
    from wavloc.files import check_folder, read_json

    check_folder(args.out, CONTENT)
    started = time.perf_counter()
    chosen: dict[str, Any] = {"source": "embedded", "options": {}, "cache": Path("data")}
    if args.plan:
        chosen = jobs.prepare(args.plan, args.kind, args.source or "")
    chosen |= {k: getattr(args, k) for k in ("source", "options", "cache") if getattr(args, k)}
    source, options, cache = chosen["source"], chosen["options"], Path(chosen["cache"])
    sound.prepare(args.kind, source, args.out, options, cache, args.seed)
    counts = read_json(args.out / "meta.json").get("counts", {})
    for name, count in counts.items():
        say(f"{name}: {count if isinstance(count, int) else json.dumps(count)}")
    say(f"prepare {args.kind} ({source}): {time.perf_counter() - started:.1f} s")


def _simulate(args: argparse.Namespace) -> None:
    from wavloc import datasets, files, frames, jobs
    from wavloc.datasets.sound.corpus import Corpus

    files.check_folder(args.out, frames.CONTENT, frames.MORE)
    entry, engine, folder = args.options or {}, args.engine or "phase_grid", args.data
    if args.plan:
        one_of(args.dataset, sorted(args.plan.config["datasets"]), "unknown dataset")
        chosen = jobs.simulate(args.plan, args.dataset)
        entry = entry or {key: chosen[key] for key in ("module", "options")}
        engine, folder = args.engine or chosen["engine"], folder or chosen["data"]
    dataset = datasets.create(args.dataset, entry, args.seed, folder)
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
    identity = [args.dataset, args.track, entry, {k: c.meta for k, c in sounds.items()}]
    render(scenes, args.out, args.seed, [*identity, scenes.meta], engine)
    kept, seconds = len(frames.load(args.out)), time.perf_counter() - started
    say(
        f"simulate {args.dataset}/{args.track}: {len(scenes)} frames, {kept} kept, "
        f"{seconds:.1f} s, {len(scenes) / seconds:.0f} frames/s"
    )


def _say_warnings(meta: dict[str, Any]) -> None:
    for line in meta.get("warnings", []):
        say(f"warning: {line}")


def _fault(args: argparse.Namespace) -> None:
    from wavloc import files, frames, jobs
    from wavloc.simulation import faults

    files.check_folder(args.out, frames.CONTENT, frames.MORE)
    kind, mics = args.kind, args.mics or 1
    if args.fault:
        known = args.plan.config["faults"] if args.plan else {}
        if args.fault not in known:
            raise InputError(f"--fault {args.fault}: expected --config with one of {sorted(known)}")
        chosen = jobs.fault(args.plan, args.fault)
        kind, mics = chosen["kind"], args.mics or chosen["mics"]
    data = frames.load(args.frames)
    faults.apply(data, kind, args.level, mics, args.seed, args.dataset).save(args.out)
    say(f"fault {kind} {args.level:g} {faults.KINDS[kind].unit}: {len(data)} frames")


def _mix(args: argparse.Namespace) -> None:
    import numpy as np

    from wavloc import files, frames
    from wavloc.simulation import mixtures

    files.check_folder(args.out, frames.CONTENT, frames.MORE)
    data = frames.load(args.frames)
    partners = frames.concatenate([frames.load(path) for path in args.partners])
    counts = np.full(len(data), args.sources)
    mixtures.mixed(data, partners, counts, args.seed, args.dataset).save(args.out)
    say(f"mix {args.sources} sources: {len(data)} frames, partners of {len(partners)}")


def _subset(args: argparse.Namespace) -> None:
    import numpy as np

    from wavloc import files, frames, setups

    files.check_file(args.out)
    data = frames.load(args.frames)
    drawn = setups.draw_subsets(len(data), data.n_mics, args.mics, args.dataset, args.seed)
    with files.replacing(args.out) as temporary, temporary.open("wb") as handle:
        np.save(handle, drawn)
