# Lists from config, path helpers and code digests; no rules here.
import json
import re
import shlex
import sys
from itertools import product

from wavloc import config as wavloc_config
from wavloc import plugins, provenance
from wavloc.datasets import fetch
from wavloc.errors import WavlocError
from wavloc.simulation import faults, mixtures

try:
    config.update(wavloc_config.resolve(config, Path(workflow.basedir) / "config"))
except WavlocError as error:
    sys.exit(f"wavloc: error: {error}")

SEED = config["seed"]
METHODS = dict(
    sorted(config["methods"].items(), key=lambda kv: (kv[1]["order"], kv[0]))
)
DATASETS = config["datasets"]
TRAINING = [
    *("--device", config["training"]["device"]),
    *("--precision", config["training"]["precision"]),
    *["--compile"] * config["training"]["compile"],
]
SOUND_ROOTS = {"folder": "{kind}_root"}
# What is published elsewhere; a key such as luvira_root says where it lies on this machine.
DOWNLOADS = {
    name: entry | ({"root": config[f"{name}_root"]} if f"{name}_root" in config else {})
    for name, entry in config["downloads"].items()
}
CACHE = Path(config["cache"])
NETWORK = shlex.join(
    str(word)
    for word in [
        *("--retries", config["network"]["retries"]),
        *("--backoff", config["network"]["backoff_s"]),
        *("--timeout", config["network"]["timeout_s"]),
        *["--offline"] * config["offline"],
    ]
)


def dataset_of(spec):
    """Dataset that plays the role of a table or figure; a dataset's own name works as well."""
    name = config["roles"].get(spec["dataset"], spec["dataset"])
    if name not in DATASETS:
        sys.exit(
            f"wavloc: error: config: unknown dataset '{name}', expected {sorted(DATASETS)}"
        )
    return name


def plugin_of(kind, name):
    return plugins.plugin_class(kind, config[kind][name].get("module", name))


def methods_of(name):
    """Methods of a table or figure: those it lists, or all that are not kept for others."""
    spec = EXPERIMENTS[name]
    chosen = spec.get("methods", "all")
    if chosen == "all":
        found = [m for m in METHODS if name in METHODS[m].get("shown_in", [name])]
        competing = [m for m in found if not plugin_of("methods", m).control]
        return competing if spec.get("layout") == "ranks" else found
    unknown = [method for method in chosen if method not in METHODS]
    if unknown:
        sys.exit(
            f"wavloc: error: config: unknown method '{unknown[0]}', expected {list(METHODS)}"
        )
    return [method for method in METHODS if method in chosen]


def tracks_of(spec):
    """Tracks of a table or figure; with faults, each at every level of each fault.

    Level 0, the track itself, has no faulty microphone to be detected. With numbers of sources,
    each with as many at once.
    """
    if "sources" in spec:
        return [
            faults.named(track, mixtures.KIND, count)
            for track in spec["tracks"]
            for count in spec["sources"]
        ]
    if "faults" not in spec:
        return spec["tracks"]
    unknown = [fault for fault in spec["faults"] if fault not in config["faults"]]
    if unknown:
        sys.exit(
            f"wavloc: error: config: unknown fault '{unknown[0]}', expected one of "
            f"{', '.join(config['faults'])}"
        )
    return unique(
        faults.named(track, fault, level)
        for track in spec["tracks"]
        for fault in spec["faults"]
        for level in config["faults"][fault]["levels"]
        if level > 0 or not detects(spec)
    )


def detects(spec):
    """Whether a table or figure is about telling faulty microphones from others."""
    return "auc" in spec.get("metrics", []) or spec.get("kind") == "roc"


def partners_of(dataset, track):
    """Tracks whose sources sound beside those of a track: all that are tested with it."""
    return dataset_named(dataset).splits()[split_of((dataset, track))].test


def cells_of(spec):
    """Cells (dataset, track, setup, mics) of a table or figure; a ranking has those of tables."""
    if spec.get("layout") == "ranks":
        of_tables = [cells_of(config["tables"][table]) for table in spec["tables"]]
        return unique(cell for cells in of_tables for cell in cells)
    setups, mics = spec.get("setups", [spec.get("setup")]), spec["mics"]
    mics = mics if isinstance(mics, list) else [mics]
    return list(product([dataset_of(spec)], tracks_of(spec), setups, mics))


def unique(items):
    return list(dict.fromkeys(items))


EXPERIMENTS = config["tables"] | config["figures"]
# Cell -> the methods that are run on it, in the order of the rows. Those of one table or figure
# are evaluated together, so that each needs its own methods only; where another has the same
# ones, both share the metrics, which bear the name of the first: (cell, methods) -> name.
CELL_METHODS, GROUPS = {}, {}
for name, spec in EXPERIMENTS.items():
    for cell in cells_of(spec):
        CELL_METHODS[cell] = CELL_METHODS.get(cell, []) + methods_of(name)
        GROUPS.setdefault((cell, tuple(methods_of(name))), name)
CELLS = {
    cell: [method for method in METHODS if method in found]
    for cell, found in CELL_METHODS.items()
    if found
}

# Cells whose track the report shows in 3-D, with every method that is run on them.
VIEWED = [
    cell
    for spec in config["figures"].values()
    if spec["kind"] == "trajectory"
    for cell in cells_of(spec)
    if cell in CELLS
]


def frames_of(dataset, track):
    return f"<results>/data/{dataset}/{track}"


def subset_of(cell):
    return "<results>/data/subsets/{}/{}-{}.npy".format(cell[0], cell[1], cell[3])


def prediction_of(cell, method):
    return "<results>/predictions/{}/{}/{}-{}/{}.parquet".format(*cell, method)


def predictions_of(cell, group=None):
    """Predictions of a cell, by all methods or by those of a table or figure."""
    methods = CELLS[cell] if group is None else methods_of(group)
    return [prediction_of(cell, method) for method in methods]


def grouped_predictions(wildcards):
    return predictions_of(cell_of(wildcards), wildcards.group)


def cell_of(wildcards):
    return (wildcards.dataset, wildcards.track, wildcards.setup, int(wildcards.mics))


def dataset_named(name):
    return plugin_of("datasets", name)(DATASETS[name].get("options"), name, SEED)


def split_of(cell):
    """Split that keeps the cell's track for testing, with or without a fault."""
    return dataset_named(cell[0]).split_of(faults.parted(cell[1])[0])


def model_key(cell, method):
    """Dataset, split and name of the model that answers in a cell; None for one that learns nothing.

    It was trained on the split that keeps the cell's track for testing. A method that is bound to
    its number of microphones has a model for each.
    """
    found = plugin_of("methods", method)
    if not found.learned:
        return None
    name = METHODS[method].get("model", method)
    name += "" if found.variable_mics else f"-{cell[3]}"
    return (cell[0], split_of(cell), name)


def model_of(cell, method):
    """Folder of the model that answers in a cell, or None."""
    key = model_key(cell, method)
    return key and "<results>/models/{}/{}/{}".format(*key)


MODELS = {
    model_of(cell, method): model_key(cell, method)
    for cell, found in CELLS.items()
    for method in found
    if model_of(cell, method)
}
# Frames of every cell, and what models are trained on.
TRACKS = unique(
    [(cell[0], cell[1]) for spec in EXPERIMENTS.values() for cell in cells_of(spec)]
    + [
        (dataset_of(spec), spec["reference"])
        for spec in EXPERIMENTS.values()
        if "reference" in spec
    ]
    + [
        (dataset, track)
        for dataset, split, _ in MODELS.values()
        for found in [dataset_named(dataset).splits()[split]]
        for track in [*found.train, *found.valid]
    ]
)


def trained_by(model):
    """Method and number of microphones (None: any) of a model name such as ``dinn-7``."""
    name, dash, mics = model.rpartition("-")
    return (name, int(mics)) if dash and name in METHODS else (model, None)


def training_tracks(wildcards, role):
    split = dataset_named(wildcards.dataset).splits()[wildcards.split]
    return [frames_of(wildcards.dataset, track) for track in getattr(split, role)]


def pretrained_of(wildcards):
    """Model that a training begins with, if it does."""
    method, _ = trained_by(wildcards.model)
    entry = METHODS[method]
    if "start" in entry:
        return []
    if not plugin_of("methods", method)(entry.get("options"), method).pretrained:
        return []
    if "pretrained" not in entry:
        sys.exit(
            f"wavloc: error: config: methods.{method} needs the key 'pretrained': the entry "
            "whose model its training begins with"
        )
    return "<results>/models/{}/{}/{}".format(
        wildcards.dataset, wildcards.split, entry["pretrained"]
    )


def start_of(wildcards):
    """Folder of the model at whose weights a training begins, if it does."""
    method, _ = trained_by(wildcards.model)
    start = METHODS[method].get("start", [])
    if start and not (Path(start) / "method.json").is_file():
        sys.exit(
            f"wavloc: error: config, methods.{method}.start: {start} has no method.json, "
            "expected the folder of a trained model"
        )
    return start


def metrics_of(cell, name, kind=""):
    """Metrics of a cell, of one kind, for a table or figure."""
    group = GROUPS[cell, tuple(methods_of(name))]
    stem = f"{group}-{kind}" if kind else group
    return "<results>/metrics/{}/{}/{}-{}/{}.csv".format(*cell, stem)


# What the layout of a table, or the metric of a curve, wants besides the usual metrics.
KINDS = {
    "costs": "costs",
    "conditions": "conditions",
    "si_sdr_gain": "denoising",
    "sources": "several",
}


def metrics_for(name):
    """Metrics files of a table or of a curve over a condition."""
    spec = EXPERIMENTS[name]
    if spec.get("layout") == "ranks":
        return [f"<results>/metrics/{name}.csv"]
    if spec.get("layout") == "counts":
        return [f"<results>/metrics/{dataset_of(spec)}/{name}.csv"]
    kind = "detection" if detects(spec) else KINDS.get(spec.get("layout"), "")
    if spec.get("kind") == "sweep":
        kind = KINDS.get(spec["metric"], "conditions")
    return [metrics_of(cell, name, kind) for cell in cells_of(spec)]


def conditions_of(wildcards):
    """Columns of the frames by which methods are evaluated in a cell, over all tables and curves."""
    cell, methods = cell_of(wildcards), methods_of(wildcards.group)
    specs = [
        spec
        for name, spec in EXPERIMENTS.items()
        if cell in cells_of(spec) and methods_of(name) == methods
    ]
    by = [
        spec.get("by", [spec.get("x")])
        for spec in specs
        if "by" in spec or spec.get("kind") == "sweep"
    ]
    return unique(column for columns in by for column in columns)


# Curves of reconstructed signals: cell -> (methods whose predictions hold them, clean track).
DENOISED = {
    cell: (methods_of(name), spec["reference"])
    for name, spec in config["figures"].items()
    if spec.get("metric") == "si_sdr_gain"
    for cell in cells_of(spec)
}


# First cells of the tables that show properties of methods -> methods whose are measured there.
MEASURED = {}
for name, spec in config["tables"].items():
    if spec["layout"] == "tracks":
        cell = cells_of(spec)[0]
        MEASURED[cell] = unique(MEASURED.get(cell, []) + methods_of(name))


def table_properties(name):
    """File of measured properties, for tables that show them."""
    spec = config["tables"][name]
    if spec["layout"] != "tracks":
        return []
    cell = cells_of(spec)[0]
    return ["<results>/metrics/{}/{}/{}-{}/properties.json".format(*cell)]


def outputs_of(name):
    """Files of a table or figure."""
    if name in config["tables"]:
        return expand(f"<results>/tables/{name}.{{kind}}", kind=["csv", "md", "tex"])
    return expand(f"<results>/figures/{name}.{{kind}}", kind=["png", "pdf"])


# Times are those of another machine, so Table V is not judged.
JUDGED = [
    f"<results>/tables/{name}.csv"
    for name, spec in config["tables"].items()
    if spec["layout"] != "costs"
]
REPRODUCTION = expand("<results>/tables/reproduction.{kind}", kind=["csv", "md"])
TABLE_FILES = [path for name in config["tables"] for path in outputs_of(name)]
TABLE_FILES += [*REPRODUCTION, "<results>/tables/summary.json"]
FIGURE_FILES = [path for name in config["figures"] for path in outputs_of(name)]
METRIC_FILES = unique(
    [path for name in config["tables"] for path in metrics_for(name)]
    + [
        path
        for name in config["figures"]
        if "x" in EXPERIMENTS[name]
        for path in metrics_for(name)
    ]
    + [path for name in config["tables"] for path in table_properties(name)]
)


def entry_of(kind, name, mics=None):
    """Config entry of a plugin as text: what a job is given and what makes it run again."""
    entry = {
        key: config[kind][name][key]
        for key in ("module", "options", "seed_name")
        if config[kind][name].get(key)
    }
    if mics:
        entry["options"] = entry.get("options", {}) | {"mics": mics}
    return json.dumps(entry, sort_keys=True)


def code_of(kind, name, *modules):
    """Digest of the code that a job of this plugin runs."""
    plugin = config[kind][name].get("module", name)
    return provenance.code_digest(plugins.modules(kind)[plugin], *modules)


def rows_json(experiment):
    """Properties of the methods of a table or figure as the reporting stage wants them."""
    spec, rows = EXPERIMENTS[experiment], {}
    if spec.get("layout") == "counts":
        return json.dumps({"data": {"label": "data"}})
    for name in methods_of(experiment):
        entry = METHODS[name]
        found = plugin_of("methods", name)
        rows[name] = {
            "label": entry.get("label", found.label),
            "paper_label": spec.get("labels", {}).get(name, entry.get("paper_label")),
            "place": wavloc_config.places(METHODS)[name],
            "reference": entry.get("reference", found.reference),
            "input_types": found.input_types,
            "learned": found.learned,
            "permutation_invariant": found.permutation_invariant,
            "variable_mics": found.variable_mics,
            "control": found.control,
        }
    return json.dumps(rows)


def option(name, value=()):
    """An option and its value for a command line, nothing where there is no value."""
    return [name, str(value)] if value else []


def alternatives(names):
    return "|".join(map(re.escape, names))


def data_folder(name):
    """Where a download is or will be; a root that is not there is said before anything runs."""
    try:
        return fetch.folder_of(name, DOWNLOADS[name], CACHE)
    except WavlocError as error:
        sys.exit(f"wavloc: error: config, data of {name}: {error}")


def fetched(name):
    """Manifest of a download that has to be made first; none where the data lie at a root."""
    if name not in DOWNLOADS or not fetch.is_fetched(name, DOWNLOADS[name]):
        return []
    return [CACHE / name / "manifest.json"]


def sound_options(kind):
    """Sizes of a kind of sound and the folder it is read from, if its source is one."""
    options, source = dict(config["sound"][kind]), config[kind]
    if source in DOWNLOADS:
        return options | {"root": str(data_folder(source))}
    key = SOUND_ROOTS.get(source, "").format(kind=kind)
    if key:
        if key not in config:
            sys.exit(f"wavloc: error: config: {kind}={source} needs {key}=PATH")
        if not Path(config[key]).is_dir():
            sys.exit(f"wavloc: error: config: {key}={config[key]}: no such folder")
        options["root"] = str(config[key])
    return options


def sounds_of(dataset):
    sounds = plugin_of("datasets", dataset).sounds
    return {kind: f"<results>/data/corpus/{kind}" for kind in sounds}


def recordings_of(dataset):
    """Option for the folder that the recordings of a dataset are read from, if it has some."""
    if not plugin_of("datasets", dataset).recordings:
        return []
    if dataset not in DOWNLOADS:
        sys.exit(
            f"wavloc: error: config: dataset '{dataset}' reads recordings and needs a download "
            "entry with urls or root"
        )
    return ["--data", str(data_folder(dataset))]


def table_spec(name):
    spec = config["tables"][name]
    if spec["layout"] == "ranks":  # over all datasets, each with all its microphones
        return spec | {"dataset": "all", "setups": ["1a"], "mics": [0]}
    if (
        spec["layout"] == "conditions"
    ):  # rows are what the metrics have instead of tracks
        spec = spec | {"tracks": []}
    elif "faults" in spec or "sources" in spec:
        spec = spec | {"tracks": tracks_of(spec)}
    return spec | {"dataset": dataset_of(spec)}


def figure_spec(name):
    spec = config["figures"][name]
    more = {"dataset": dataset_of(spec)}
    return spec | more | ({"tracks": tracks_of(spec)} if "faults" in spec else {})


def figure_cells(name):
    """Cells whose frames and predictions a figure shows; curves are drawn from metrics."""
    spec = config["figures"][name]
    return [] if "x" in spec else cells_of(spec)


def figure_predictions(name):
    """``track/method`` -> predictions file, for the methods a figure shows."""
    return {
        f"{cell[1]}/{method}": prediction_of(cell, method)
        for cell in figure_cells(name)
        for method in methods_of(name)
    }


def models_of(cell, methods):
    """``method`` -> folder of the model that answers in a cell, for the learned ones."""
    found = {method: model_of(cell, method) for method in methods}
    return {method: model for method, model in found.items() if model}


def grouped_models(wildcards):
    return models_of(cell_of(wildcards), methods_of(wildcards.group))


def measured_models(wildcards):
    cell = cell_of(wildcards)
    return models_of(cell, MEASURED[cell])


def ranked_predictions(name):
    """``dataset/track/method`` -> predictions file of all that a ranking compares."""
    return {
        "{}/{}/{}".format(*cell[:2], method): prediction_of(cell, method)
        for cell in cells_of(EXPERIMENTS[name])
        for method in methods_of(name)
        if method in CELLS[cell]
    }


def table_models(name):
    """``method=folder`` of one model per learned row of a table, for its number of parameters."""
    found = {}
    for cell in cells_of(config["tables"][name]):
        for method in methods_of(name):
            model = model_of(cell, method)
            if model:
                found.setdefault(method, model)
    return found


def caption(spec):
    """What a table shows, and which data and profile made it."""
    shown = unique(cell[0] for cell in cells_of(spec)) or [spec["dataset"]]
    labels = [
        DATASETS[name].get("label", plugin_of("datasets", name).label) for name in shown
    ]
    return f"{spec['caption']} Data: {' and '.join(labels)}. {made_by(shown)}"


def made_by(datasets=()):
    """Profile and dry sound of this run, for captions; of all its datasets if none is named."""
    used = datasets or unique(cell[0] for cell in CELLS)
    kinds = unique(kind for name in used for kind in plugin_of("datasets", name).sounds)
    sound = ", ".join(f"{kind}: {config[kind]}" for kind in kinds) or "recorded sound"
    return f"Profile {config['profile']}, seed {SEED}; {sound}."


wildcard_constraints:
    kind="speech|music",
    source=alternatives(DOWNLOADS),
    dataset=alternatives(DATASETS),
    method=alternatives(METHODS),
    table=alternatives(config["tables"]),
    figure=alternatives(config["figures"]),
    group=alternatives(EXPERIMENTS),
    setup="1a|1b|2a|2b",
    mics=r"\d+",
    track="[^/]+",
    fault=alternatives(config["faults"]),
    level=r"[\d.]+",
    sources=r"\d+",
    split="[^/]+",
    model="[^/]+",
