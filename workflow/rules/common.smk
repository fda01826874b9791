# Lists from config, path helpers and code digests; no rules here.
import json
import re
import sys
from itertools import product

from wavloc import config as wavloc_config
from wavloc import plugins, provenance
from wavloc.errors import WavlocError

try:
    config.update(wavloc_config.resolve(config, Path(workflow.basedir) / "config"))
except WavlocError as error:
    sys.exit(f"wavloc: error: {error}")

SEED = config["seed"]
METHODS = dict(
    sorted(config["methods"].items(), key=lambda kv: (kv[1]["order"], kv[0]))
)
DATASETS = config["datasets"]
SOUND_ROOTS = {"librispeech": "librispeech_root", "folder": "{kind}_root"}


def dataset_of(spec):
    """Dataset that plays the role of a table or figure; a dataset's own name works as well."""
    name = config["roles"].get(spec["dataset"], spec["dataset"])
    if name not in DATASETS:
        sys.exit(
            f"wavloc: error: config: unknown dataset '{name}', expected {sorted(DATASETS)}"
        )
    return name


def methods_of(spec):
    chosen = spec.get("methods", "all")
    unknown = (
        [] if chosen == "all" else [name for name in chosen if name not in METHODS]
    )
    if unknown:
        sys.exit(
            f"wavloc: error: config: unknown method '{unknown[0]}', expected {list(METHODS)}"
        )
    return list(METHODS) if chosen == "all" else chosen


def cells_of(spec):
    """Cells (dataset, track, setup, mics) of a table or figure."""
    setups, mics = spec.get("setups", [spec.get("setup")]), spec["mics"]
    mics = mics if isinstance(mics, list) else [mics]
    return list(product([dataset_of(spec)], spec["tracks"], setups, mics))


def unique(items):
    return list(dict.fromkeys(items))


SPECS = [*config["tables"].values(), *config["figures"].values()]
CELLS = unique(cell for spec in SPECS if methods_of(spec) for cell in cells_of(spec))
TRACKS = unique((cell[0], cell[1]) for spec in SPECS for cell in cells_of(spec))


def frames_of(dataset, track):
    return f"<results>/data/{dataset}/{track}"


def subset_of(cell):
    return "<results>/data/subsets/{}/{}-{}.npy".format(cell[0], cell[1], cell[3])


def prediction_of(cell, method):
    return "<results>/predictions/{}/{}/{}-{}/{}.parquet".format(*cell, method)


def predictions_of(cell):
    return [prediction_of(cell, method) for method in METHODS]


def metrics_of(cell):
    return "<results>/metrics/{}/{}/{}-{}.csv".format(*cell)


TABLE_FILES = expand(
    "<results>/tables/{table}.{kind}", table=config["tables"], kind=["csv", "md", "tex"]
)
FIGURE_FILES = expand(
    "<results>/figures/{figure}.{kind}", figure=config["figures"], kind=["png", "pdf"]
)


def entry_of(kind, name):
    """Config entry of a plugin as text: what a job is given and what makes it run again."""
    entry = {
        key: config[kind][name][key]
        for key in ("module", "options")
        if config[kind][name].get(key)
    }
    return json.dumps(entry, sort_keys=True)


def code_of(kind, name, *modules):
    """Digest of the code that a job of this plugin runs."""
    plugin = config[kind][name].get("module", name)
    return provenance.code_digest(plugins.modules(kind)[plugin], *modules)


def rows_json(names):
    """Properties of methods as the reporting stage wants them."""
    rows = {}
    for name in names:
        entry = METHODS[name]
        found = plugins.plugin_class("methods", entry.get("module", name))
        rows[name] = {
            "label": entry.get("label", found.label),
            "paper_label": entry.get("paper_label"),
            "reference": entry.get("reference", found.reference),
            "input_types": found.input_types,
            "learned": found.learned,
            "permutation_invariant": found.permutation_invariant,
            "variable_mics": found.variable_mics,
            "control": found.control,
            "parameters": None,
        }
    return json.dumps(rows)


def alternatives(names):
    return "|".join(map(re.escape, names))


def sound_options(kind):
    """Sizes of a kind of sound and the folder it is read from, if its source is one."""
    options = dict(config["sound"][kind])
    key = SOUND_ROOTS.get(config[kind], "").format(kind=kind)
    if key:
        if key not in config:
            sys.exit(f"wavloc: error: config: {kind}={config[kind]} needs {key}=PATH")
        options = {"root": str(config[key])}
    return options


def sounds_of(dataset):
    found = plugins.plugin_class("datasets", DATASETS[dataset].get("module", dataset))
    return {kind: f"<results>/data/corpus/{kind}" for kind in found.sounds}


def table_spec(name):
    return config["tables"][name] | {"dataset": dataset_of(config["tables"][name])}


def figure_spec(name):
    return config["figures"][name] | {"dataset": dataset_of(config["figures"][name])}


def figure_cells(name):
    return cells_of(config["figures"][name])


def figure_predictions(name):
    """``track/method`` -> predictions file, for the methods a figure shows."""
    return {
        f"{cell[1]}/{method}": prediction_of(cell, method)
        for cell in figure_cells(name)
        for method in methods_of(config["figures"][name])
    }


def caption(spec):
    """What a table shows, and which data and profile made it."""
    return (
        f"{spec['caption']} Data: {DATASETS[spec['dataset']]['label']}. Profile {config['profile']}, seed {SEED}; "
        f"speech: {config['speech']}, music: {config['music']}."
    )


wildcard_constraints:
    kind="speech|music",
    dataset=alternatives(DATASETS),
    method=alternatives(METHODS),
    table=alternatives(config["tables"]),
    figure=alternatives(config["figures"]),
    setup="1a|1b|2a|2b",
    mics=r"\d+",
    track="[^/]+",
