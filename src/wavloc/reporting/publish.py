"""Copies what a finished run shows, to be kept: tables, figures, report, provenance."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wavloc import files, provenance
from wavloc.errors import InputError

CONTENT = ("tables", "figures", "report.html", "provenance.json")
DIGESTS = "digests.json"
KEPT = (DIGESTS, "predictions", "models", "metrics")  # by `wavloc track`, in the same folder


def publish(
    results: Path, shown: Sequence[str | Path], config: Mapping[str, Any], out: Path
) -> int:
    """Copy the files ``shown`` of a results folder to ``out`` and write ``provenance.json``.

    config: the plan of the run. Returns how many files were copied. A file that is missing, or a
    folder ``out`` of something else, is an `InputError`. What is `KEPT` there stays.
    """
    kind = [DIGESTS if (out / DIGESTS).is_file() else "provenance.json"], (*CONTENT, *KEPT)
    files.check_folder(out, *kind)
    for path in map(Path, shown):
        if not path.is_file():
            raise InputError(f"{path}: missing; finish the run first (snakemake ... all)")
    models = {
        str(path.parent.relative_to(results / "models")): files.read_mapping(path, "training")[
            "training"
        ]
        for path in sorted(results.glob("models/*/*/*/method.json"))
    }
    keys = ("provenance", "cost", "best_epoch", "epochs", "start")
    note = provenance.stamp(
        profile=config["profile"],
        seed=config["seed"],
        config=provenance.digest(config),
        models={name: {k: told[k] for k in keys if k in told} for name, told in models.items()},
    )
    with files.replacing_folder(out, *kind) as temporary:
        for name in KEPT:
            if (out / name).is_dir():
                shutil.copytree(out / name, temporary / name)
            elif (out / name).is_file():
                temporary.mkdir(exist_ok=True)
                shutil.copyfile(out / name, temporary / name)
        for path in map(Path, shown):
            target = temporary / path.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        files.write_json(temporary / "provenance.json", note)
    return len(shown)
