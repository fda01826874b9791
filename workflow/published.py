"""Full-size runs without Snakemake at work: some minutes at a stretch, resumed exactly.

    python workflow/published.py twin
    python workflow/published.py six_faces --speech-root FOLDER_OF_LIBRISPEECH

Snakemake is asked once (a dry run of seconds, on any machine) which commands make up a run; they
are kept in results/published/<name>/plan.json. Every call goes on where the last one stopped, does
what it can in --minutes, and says what is left; at the end tables, figures, the report and their
provenance lie beside the plan. With --pack all but the simulated frames is written in pieces of so
many megabytes, which --unpack joins on another machine.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from wavloc import files, provenance
from wavloc.datasets.fetch import archives
from wavloc.errors import InputError, WavlocError, WorkError

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = yaml.safe_load((ROOT / "config" / "experiments.yaml").read_text(encoding="utf-8"))
RUNS = {  # name -> targets
    "twin": ["all"],
    "six_faces": [
        name
        for kind in ("tables", "figures")
        for name, spec in EXPERIMENTS[kind].items()
        if spec.get("dataset") == "simulated"
    ],
}
SUFFIX = {"tables": ".csv", "reproduction": ".csv", "figures": ".png"}  # of stages given a stem
GRACE_S = 60  # for a command to end after it was interrupted
PIECE = "state.tar."


# --------------------------------------------------------------------------- the plan


def plan(args: argparse.Namespace, folder: Path, work: Path) -> list[list[str]]:
    """Commands of the run, from the kept plan or from Snakemake; the report comes last."""
    kept = folder / "plan.json"
    if not kept.is_file():
        files.write_json(kept, {"git": provenance.git_revision(), "commands": ask(args, work)})
    stored = files.read_json(kept)
    if stored["git"] != provenance.git_revision():
        print(
            f"{kept} is of revision {stored['git']}, the code of {provenance.git_revision()}; "
            "remove it to plan anew",
            file=sys.stderr,
        )
    return sorted(stored["commands"], key=lambda command: command[0] == "report")


def ask(args: argparse.Namespace, work: Path) -> list[list[str]]:
    """Commands (without the word wavloc) that a dry run of Snakemake prints."""
    places = {"results": work, "logs": work / "logs", "benchmarks": work / "benchmarks"}
    changes = ["pathvars=" + json.dumps({key: str(path) for key, path in places.items()})]
    changes.append(f"profile={args.name}")
    if args.name == "six_faces" and not args.speech_root:
        raise InputError("six_faces needs --speech-root FOLDER, its subfolders are the speakers")
    if args.speech_root:
        changes += ["speech=folder", f"speech_root={args.speech_root.resolve()}"]
    if importlib.util.find_spec("snakemake") is None:
        raise InputError(
            "no snakemake here to plan with; plan where it is installed (--dry-run) and copy "
            f"{args.results}/published/{args.name}/plan.json"
        )
    asked = [sys.executable, "-m", "snakemake", "--dry-run", "--printshellcmds", "--forceall"]
    asked += ["--nocolor", "--cores", "1", "--configfile", *map(str, args.configfile)]
    asked += ["--config", *changes, "--", *(args.targets or RUNS[args.name])]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    start = "Shell command: wavloc "
    found = [shlex.split(line.removeprefix(start)) for line in lines if line.startswith(start)]
    if done.returncode or not found:
        said = [line for line in lines if "rror" in line] or lines[-1:]
        raise WorkError(f"snakemake made no plan: {' '.join(said[:2])}")
    return found


def product(command: list[str]) -> Path:
    """What tells that a command has ended well: a file or folder, written at once or not at all."""
    if command[0] == "download":
        return Path(value(command, "--cache")) / command[1] / "manifest.json"
    return Path(value(command, "--out") + SUFFIX.get(command[0], ""))


def value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def left(commands: list[list[str]]) -> list[list[str]]:
    return [command for command in commands if not (ROOT / product(command)).exists()]


def ready(command: list[str], waiting: list[list[str]]) -> bool:
    """Whether nothing that the command reads is still to be made."""
    missing = {str(product(other)) for other in waiting if other is not command}
    if command[0] == "report":
        return not missing
    return not missing & {token.partition("=")[2] or token for token in command}


# --------------------------------------------------------------------------- the work


def work_on(commands: list[list[str]], args: argparse.Namespace) -> None:
    """Run what is left, in order of need, until the time is over."""
    deadline = time.monotonic() + 60 * args.minutes
    while waiting := left(commands):
        command = next((c for c in waiting if ready(c, waiting)), None)
        if command is None:
            raise WorkError(f"the plan goes round in a circle at {product(waiting[0])}")
        rest = deadline - time.monotonic()
        if rest <= 0:
            return
        print(f"{len(commands) - len(waiting)} of {len(commands)}: {brief(command)}", flush=True)
        code = run(command, rest, args)
        if code and time.monotonic() < deadline:
            raise WorkError(f"exit code {code} of: wavloc {shlex.join(command)}")


def run(command: list[str], rest: float, args: argparse.Namespace) -> int:
    """Exit code of one command, which is interrupted when the time is over and resumes later."""
    more: list[str] = []
    if command[0] == "train":  # stops between two epochs and keeps its state
        more = [*args.train, *(["--minutes", f"{rest / 60:.6f}"] if math.isfinite(rest) else [])]
    started = subprocess.Popen([sys.executable, "-m", "wavloc.cli", *command, *more], cwd=ROOT)
    limit = rest + GRACE_S * (command[0] == "train")
    try:
        return started.wait(limit if math.isfinite(limit) else None)
    except subprocess.TimeoutExpired:
        started.send_signal(signal.SIGINT)
    except KeyboardInterrupt:
        started.wait(GRACE_S)
        raise
    try:
        return started.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        started.kill()
        return started.wait()


def brief(command: list[str]) -> str:
    """Stage and product."""
    return f"{command[0]} {product(command)}"


def say_left(commands: list[list[str]]) -> None:
    """One line per stage with something left, and states of unfinished trainings."""
    waiting = left(commands)
    print(f"done: {len(commands) - len(waiting)} of {len(commands)} commands")
    whole = Counter(command[0] for command in commands)
    for stage, count in Counter(command[0] for command in waiting).items():
        print(f"left: {count} of {whole[stage]} {stage}")
    for command in waiting:
        out = ROOT / product(command)
        history = epochs(out.parent / f".{out.name}.partial") if command[0] == "train" else 0
        if history:
            print(f"begun: {brief(command)}, {history} epochs")


def epochs(folder: Path) -> int:
    """Epochs in the state of an unfinished training."""
    from safetensors import safe_open

    for path in folder.glob("*/state.safetensors"):
        with safe_open(path, "pt") as stored:
            return json.loads(stored.metadata()["note"])["epoch"]
    return 0


# --------------------------------------------------------------------------- results and pieces


def publish(work: Path, folder: Path) -> None:
    """Tables, figures, report and where they come from, beside the plan."""
    for name in ("tables", "figures"):
        if (work / name).is_dir():
            shutil.copytree(work / name, folder / name, dirs_exist_ok=True)
    if (work / "report.html").is_file():
        shutil.copy2(work / "report.html", folder / "report.html")
    models = {
        str(path.parent.relative_to(work / "models")): files.read_json(path)["training"]
        for path in sorted(work.glob("models/*/*/*/method.json"))
    }
    files.write_json(
        folder / "provenance.json",
        provenance.stamp(
            planned=files.read_json(folder / "plan.json")["git"],
            models={
                name: {key: note.get(key) for key in ("provenance", "cost", "best_epoch", "epochs")}
                for name, note in models.items()
            },
        ),
    )


def packed(work: Path, folder: Path) -> Iterator[Path]:
    """All that took long; frames are simulated again, bit for bit."""
    yield folder / "plan.json"
    for part in ("models", "predictions", "metrics", "tables", "figures"):
        yield from sorted(path for path in (work / part).rglob("*") if path.is_file())


def pack(work: Path, folder: Path, megabytes: float) -> None:
    """``state.tar.000`` ... of at most so many megabytes, and their SHA-256 in ``state.json``."""
    pieces, size = work / "pieces", int(megabytes * 1e6)
    shutil.rmtree(pieces, ignore_errors=True)
    pieces.mkdir(parents=True)
    whole = pieces / "state.tar"
    with tarfile.open(whole, "w") as archive:
        for path in packed(work, folder):
            archive.add(path, path.relative_to(work.parent))
    sums = {}
    with whole.open("rb") as handle:
        while block := handle.read(size):
            piece = pieces / f"{PIECE}{len(sums):03d}"
            piece.write_bytes(block)
            sums[piece.name] = hashlib.sha256(block).hexdigest()
    whole.unlink()
    files.write_json(pieces / "state.json", sums)
    print(f"packed: {len(sums)} pieces in {pieces}")


def unpack(pieces: Path, results: Path) -> None:
    """Join pieces into the results folder; each is checked before anything is written."""
    sums = files.read_json(pieces / "state.json")
    whole = pieces / "state.tar"
    with files.replacing(whole) as temporary, temporary.open("wb") as handle:
        for name, expected in sorted(sums.items()):
            path = pieces / name
            if not path.is_file():
                raise InputError(f"{path}: no such piece")
            block = path.read_bytes()
            if hashlib.sha256(block).hexdigest() != expected:
                raise InputError(f"{path}: damaged, its SHA-256 is not that of {pieces}/state.json")
            handle.write(block)
    archives.unpack(whole, results)
    whole.unlink()


# --------------------------------------------------------------------------- arguments


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(RUNS))
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long")
    parser.add_argument("--dry-run", action="store_true", help="plan, and say what is left")
    parser.add_argument("--speech-root", type=Path, help="folder of speech, a speaker a subfolder")
    parser.add_argument("--configfile", nargs="+", default=["config/twin.yaml"], help="sizes")
    parser.add_argument("--targets", nargs="+", help="tables and figures, instead of all")
    parser.add_argument("--results", default="results", help="folder of the runs' folders")
    parser.add_argument("--train", type=shlex.split, default=[], help="more options of training")
    parser.add_argument("--pack", type=float, metavar="MB", help="write the state in pieces")
    parser.add_argument("--unpack", type=Path, metavar="FOLDER", help="first join such pieces")
    args = parser.parse_args(arguments)
    results = ROOT / args.results
    work, folder = results / args.name, results / "published" / args.name
    try:
        if args.unpack:
            unpack(args.unpack, results)
        commands = plan(args, folder, Path(args.results) / args.name)
        if not args.dry_run:
            with files.lock(results / f".{args.name}.lock"):
                work_on(commands, args)
                if not left(commands):
                    publish(work, folder)
        say_left(commands)
        if args.pack:
            pack(work, folder, args.pack)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except WavlocError as error:
        print(f"wavloc: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
