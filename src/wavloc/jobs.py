"""What each job reads of a plan. A job runs again when this changes, and for nothing else in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc import plugins, provenance
from wavloc.checks import one_of
from wavloc.config import places
from wavloc.datasets import fetch, sound
from wavloc.errors import InputError
from wavloc.evaluation.metrics import METRICS
from wavloc.frames import NO_SOUND
from wavloc.plan import Cell, Model, Plan, unique
from wavloc.reporting import figures

PAPERS_PASSES = 500
UNTRAINED = "its network is not trained yet"  # why a cell is empty with `models: kept`
# Sources of dry sound that read a folder of the user's -> key of the configuration that names it.
SOUND_ROOTS = {"folder": "{kind}_root"}


def code(kind: str, module: str, *more: str) -> str:
    """Digest of the code that a job of a method or dataset runs. more: further modules."""
    return provenance.code_digest(plugins.path_of(kind, module), *more)


# ----------------------------------------------------------------- data


def download(plan: Plan, source: str) -> dict[str, Any]:
    """Not where the archives come from: another mirror must not make everything run again."""
    return {"archives": plan.downloads[source]["archives"], "cache": plan.config["cache"]}


def prepare(plan: Plan, kind: str, source: str = "") -> dict[str, Any]:
    """Source of a kind of dry sound and its options: sizes, and the folder that it is read from.

    Another source than the configured one is for the training of `steered`.
    """
    config, own = plan.config, plan.config[kind]
    source = source or own
    options = dict(config["sound"][kind] if source == own else config["steered"][kind])
    sound.check_options(kind, options)
    if source in plan.downloads:
        options["root"] = _data_folder(plan, source)
    elif source in SOUND_ROOTS:
        key = SOUND_ROOTS[source].format(kind=kind)
        if key not in config:
            raise InputError(f"config: {kind}={source} needs {key}=PATH")
        if not Path(config[key]).is_dir():
            raise InputError(f"config: {key}={config[key]}: no such folder")
        options["root"] = str(config[key])
    return {"source": source, "options": options, "cache": config["cache"], "seed": plan.seed}


def simulate(plan: Plan, dataset: str) -> dict[str, Any]:
    """A dataset with its options, and the folder of its recordings if it has some (else None)."""
    entry, data = plan.config["datasets"][dataset], None
    if plan.dataset(dataset).recordings:
        if dataset not in plan.downloads:
            raise InputError(
                f"config: dataset '{dataset}' reads recordings and needs a download entry with "
                "urls or root"
            )
        data = _data_folder(plan, dataset)
    made = {key: entry[key] for key in ("module", "options")}
    return made | {"engine": plan.config["simulation"]["engine"], "data": data, "seed": plan.seed}


def _data_folder(plan: Plan, name: str) -> str:
    """Where a download is or will be."""
    try:
        folder = fetch.folder_of(name, plan.downloads[name], Path(plan.config["cache"]))
    except InputError as error:
        raise InputError(f"config, data of {name}: {error}") from None
    return str(folder)


def fault(plan: Plan, name: str) -> dict[str, Any]:
    """Kind of a fault and the microphones of a frame that have it."""
    entry = plan.config["faults"][name]
    return {"kind": entry.get("kind", name), "mics": entry.get("mics", 1), "seed": plan.seed}


# ----------------------------------------------------------------- methods


def predict(plan: Plan, method: str, dataset: str | None = None) -> dict[str, Any]:
    """A method with its options; dataset: with those of a training on it."""
    entry = plan.entry(method, dataset) if dataset else plan.methods[method]
    keys = ("module", "options", "control", "seed_name")
    return {key: getattr(entry, key) for key in keys} | {"seed": plan.seed}


def train(plan: Plan, model: Model) -> dict[str, Any]:
    """A method with its options on the dataset, and where and how it is trained."""
    keys = ("device", "precision", "compile")
    how = {key: plan.config["training"][key] for key in keys}
    own = predict(plan, model.method, model.dataset)
    return own | how | {"cache": plan.config["cache"]}


# ----------------------------------------------------------------- evaluation and reporting


def evaluate(plan: Plan) -> dict[str, Any]:
    """Bootstrap of the metrics."""
    return plan.config["evaluation"] | {"seed": plan.seed}


def properties(plan: Plan, cell: Cell) -> dict[str, Any]:
    """The methods whose properties are measured in a cell."""
    return {method: predict(plan, method) for method in plan.measured[cell]}


def table(plan: Plan, name: str) -> dict[str, Any]:
    """``spec``, ``methods`` and ``caption`` as the reporting stage wants them."""
    spec = dict(plan.config["tables"][name])
    if spec["layout"] == "ranks":  # over all datasets, each with all its microphones
        spec |= {"dataset": "all", "setups": ["1a"], "mics": [0]}
    else:
        # Conditions are what the metrics have instead of tracks.
        spec["tracks"] = [] if "by" in spec else plan.tracks_of(spec)
        spec["dataset"] = plan.role(spec)
    datasets = unique(cell.dataset for cell in plan.cells_of(name)) or [spec["dataset"]]
    labels = " and ".join(_label(plan, dataset) for dataset in datasets)
    caption = f"{spec['caption']} Data: {labels}. {made_by(plan, datasets)}"
    told = {"networks": networks(plan, name)}
    return {"spec": spec, "methods": rows(plan, name), "caption": caption} | told


def figure(plan: Plan, name: str) -> dict[str, Any]:
    """``spec`` and ``methods`` as the reporting stage wants them."""
    spec = plan.config["figures"][name]
    spec = spec | {"dataset": plan.role(spec), "tracks": plan.tracks_of(spec)}
    shown = {n: row for n, row in rows(plan, name).items() if "refused" not in row}
    return {"spec": spec, "methods": shown}


def single_frames(plan: Plan) -> dict[str, Any]:
    """``spec`` and ``methods`` of the page of single frames."""
    spec, cell = dict(plan.config.get("single_frames", {})), plan.single_frames
    if cell is None:
        raise InputError(
            f"config, single_frames: {spec}, expected a table of the run, a track of it and one of "
            "its methods that treats such frames"
        )
    told = {
        "cell": f"{cell.track}, setup {cell.setup}, {cell.mics} microphones",
        "made": f"Data: {_label(plan, cell.dataset)}. {made_by(plan, [cell.dataset])}",
    }
    return {"spec": spec | told, "methods": rows(plan, spec["table"])}


def reproduction(plan: Plan) -> dict[str, Any]:
    """Datasets that are the paper's own, and the caption."""
    entries = plan.config["datasets"].items()
    papers = [name for name, entry in entries if entry["papers_data"]]
    return {"papers_data": papers, "caption": made_by(plan)}


def croissant(plan: Plan, dataset: str) -> dict[str, str]:
    """What the metadata of a dataset say besides its files."""
    entry, made = plan.config["datasets"][dataset], plan.dataset(dataset)
    return {
        "label": _label(plan, dataset),
        "reference": entry.get("reference", made.reference),
        "licence": entry.get("licence", "not stated"),
        "url": entry.get("download", {}).get("page", ""),
    }


def report(plan: Plan) -> dict[str, Any]:
    """The configuration, with the methods of each figure by name."""
    figures = {
        name: spec
        | {"methods": plan.methods_of(name)}
        | {"title": " ".join([spec["title"], networks(plan, name)]).strip()}
        for name, spec in plan.figures.items()
    }
    return {**plan.config, "tables": plan.tables, "figures": figures}


def rows(plan: Plan, experiment: str) -> dict[str, dict[str, Any]]:
    """What a table or figure shows of each of its methods."""
    spec = plan.experiments[experiment]
    if spec.get("layout") == "counts":
        return {"data": {"label": "data"}}
    place, cells = places(plan.config["methods"]), plan.cells_of(experiment)
    labels = spec.get("labels", {})
    keys = ["label", "reference", "input_types", "learned", "permutation_invariant"]
    keys += ["variable_mics", "control"]
    return {
        name: {key: getattr(entry, key) for key in keys}
        | {"paper_label": labels.get(name, entry.paper_label), "place": place[name]}
        | ({} if all(plan.treats(c.dataset, name) for c in cells) else {"refused": NO_SOUND})
        | ({"missing": UNTRAINED} if any(plan.leaves_out(c, name) for c in cells) else {})
        for name, entry in ((name, plan.methods[name]) for name in plan.methods_of(experiment))
    }


def networks(plan: Plan, experiment: str, frames: Mapping[str, set[int]] | None = None) -> str:
    """That the trained networks of a table or figure are reduced, and how long they learned.

    frames: method -> training frames of its models, where they are known (0 = unknown). Nothing of
    full-size networks.
    """
    if plan.config["networks"] != "reduced":
        return ""
    passes: dict[str, list[str]] = {}
    for name in plan.methods_of(experiment):
        models = [plan.model_of(cell, name) for cell in plan.cells_of(experiment)]
        trained = [plan.entry(model.method, model.dataset) for model in models if model]
        epochs = {e.options.get("epochs", PAPERS_PASSES) for e in trained if not e.imported}
        one_dataset = len({model.dataset for model in models if model}) == 1
        if epochs:
            told = f"{' or '.join(map(str, sorted(epochs)))} passes"
            counts = (frames or {}).get(name, {0})
            if one_dataset and all(counts):
                ends = unique([f"{min(counts):,}", f"{max(counts):,}"])
                told += f" of {' to '.join(ends)} frames"
            passes.setdefault(told, []).append(plan.methods[name].label)
    if not passes:
        return ""
    learned = [f"{', '.join(labels)}: {told}" for told, labels in passes.items()]
    return (
        f"Trained networks are reduced ({'; '.join(learned)}); the papers' are {PAPERS_PASSES} "
        "epochs at full size."
    )


def made_by(plan: Plan, datasets: list[str] | None = None) -> str:
    """Profile and dry sound of a run, for captions; of all its datasets if none is named."""
    used = datasets or unique(cell.dataset for cell in plan.cells)
    kinds = unique(kind for name in used for kind in plan.dataset(name).sounds)
    other = "measured delays" if all(plan.dataset(n).delays for n in used) else "recorded sound"
    sound = ", ".join(f"{kind}: {plan.config[kind]}" for kind in kinds) or other
    return f"Profile {plan.config['profile']}, seed {plan.seed}; {sound}."


def _label(plan: Plan, dataset: str) -> str:
    return plan.config["datasets"][dataset].get("label", plan.dataset(dataset).label)


# ----------------------------------------------------------------- before a run


def check(plan: Plan) -> None:
    """Raise `InputError` for unknown names and missing folders, before they stop a run."""
    for name, spec in plan.config["figures"].items():
        one_of(spec["kind"], figures.KINDS, f"config, figures.{name}: unknown kind")
        for method in spec.get("bands", []):
            one_of(method, plan.methods, f"config, figures.{name}.bands: unknown method")
    for kind in ("tables", "figures"):
        for name, spec in plan.config[kind].items():
            for metric in [*spec.get("metrics", []), *filter(None, [spec.get("metric")])]:
                one_of(metric, METRICS, f"config, {kind}.{name}: unknown metric")
    for name in plan.experiments:
        for cell in plan.cells_of(name):
            treating = [m for m in plan.methods_of(name) if plan.treats(cell.dataset, m)]
            if plan.methods_of(name) and not treating:
                raise InputError(
                    f"config, {name}.methods: each of them needs sound, and dataset "
                    f"'{cell.dataset}' has none"
                )
    for dataset in unique(dataset for dataset, _ in plan.tracks):
        simulate(plan, dataset)
        for kind in plan.dataset(dataset).sounds:
            prepare(plan, kind)
    weights = plan.config.get("authors_weights")
    if weights and not Path(weights).is_file():
        raise InputError(f"config: authors_weights={weights}: no such file")
    for model in plan.models.values():
        entry = plan.methods[model.method]
        if entry.pretrained:
            where = f"config, methods.{entry.name}.pretrained"
            one_of(entry.pretrained, plan.methods, f"{where}: unknown method")
        if entry.start and not (Path(entry.start) / "method.json").is_file():
            raise InputError(
                f"config, methods.{entry.name}.start: {entry.start} has no method.json, expected "
                "the folder of a trained model"
            )
