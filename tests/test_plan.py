"""The plan: cells, sets of methods, models and paths, and what makes which job run again."""

from __future__ import annotations

import datetime
import fnmatch
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wavloc import config, jobs, provenance
from wavloc.errors import InputError
from wavloc.methods import registry
from wavloc.plan import Cell, Model, Plan, kind_of

Config = dict[str, object]


def resolved(root: Path, *profiles: str, **changes: object) -> Config:
    given: Config = {}
    for name in ("config.yaml", *profiles):
        given = config.merge(given, config.read_yaml(root / "config" / name))
    return config.resolve(config.merge(given, changes), root / "config")


@pytest.fixture(scope="module")
def default(root: Path) -> Plan:
    return Plan(resolved(root))


def test_cells_of_a_table_are_all_its_combinations(default: Plan) -> None:
    cells = default.cells_of("table2")
    assert len(cells) == len(set(cells)) == 4 * 3
    assert cells[0] == Cell("luvira_twin", "speech3", "1a", 5)
    assert cells[0].path == "luvira_twin/speech3/1a-5"
    assert default.cells_of("leaderboard") == [
        *default.cells_of("table7"),
        *default.cells_of("table_simulated"),
    ]


def test_each_cell_runs_the_methods_of_its_experiments(default: Plan) -> None:
    cell = Cell("luvira_twin", "speech3", "1a", 7)
    assert set(default.cells[cell]) == {
        *default.methods_of("table2"),
        *default.methods_of("table4"),
    }
    assert all(default.cells.values())  # nothing is predicted for figures of arrays
    order = list(default.methods)
    for methods in default.cells.values():
        assert methods == sorted(methods, key=order.index)


def test_rows_come_from_sets_of_methods(default: Plan) -> None:
    assert default.methods_of("table3") == ["wav2pos_m"]
    assert default.methods_of("table4") == [
        *("wav2pos_base", "wav2pos_posenc", "wav2pos_masking", "wav2pos_maxpool"),
        *("wav2pos_gcc", "wav2pos_ngcc"),
    ]
    assert default.methods_of("table6") == []
    ranked, compared = default.methods_of("leaderboard"), default.methods_of("table7")
    assert set(compared) - set(ranked) == {
        "oracle",
        "center",
        "steered_track",
    }  # controls are not ranked
    shown = {method for name in default.experiments for method in default.methods_of(name)}
    assert shown.isdisjoint({"ngcc_phat", "wav2pos_fresh"})


def test_a_method_that_no_set_names_is_in_all(root: Path) -> None:
    plan = Plan(resolved(root, methods={"mine": {"like": "nlls"}, "kept": {"like": "nlls"}}))
    assert {"mine", "kept"} <= set(plan.methods_of("table1"))
    plan = Plan(
        resolved(
            root,
            methods={"mine": {"like": "nlls"}, "kept": {"like": "nlls"}},
            sets={"apart": ["kept"], "both": ["apart", "mine", "multilat"]},
            tables={"table3": {"methods": "both"}},
        )
    )
    assert "kept" not in plan.methods_of("table1")
    assert "multilat" in plan.methods_of("table1")  # named by `all` itself
    assert plan.methods_of("table3") == ["multilat", "kept", "mine"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tables": {"table1": {"methods": ["wizard"]}}}, "table1.methods: unknown method 'wiz"),
        ({"sets": {"a": ["b"], "b": ["a"]}}, "sets.[ab]: the set '[ab]' holds itself"),
        ({"sets": {"gnn": ["nlls"]}}, "sets.gnn: there is a method of that name"),
        ({"tables": {"table1": {"methods": ["ngcc_phat"]}}}, "'ngcc_phat' gives no positions"),
        ({"tables": {"table1": {"metrics": ["mea"]}}}, "tables.table1: unknown metric 'mea'"),
        ({"figures": {"fig3a": {"metric": "mea"}}}, "figures.fig3a: unknown metric 'mea'"),
        ({"figures": {"fig5": {"kind": "pie"}}}, "figures.fig5: unknown kind 'pie'"),
        ({"figures": {"fig3a": {"bands": ["gnu"]}}}, "figures.fig3a.bands: unknown method 'gnu'"),
        ({"single_frames": {"worst": -1}}, "config, single_frames.worst: -1 is less than"),
        ({"tables": {"table1": {"dataset": "moon"}}}, "unknown dataset 'moon'"),
        ({"methods": {"gnn": {"model": "ngn"}}}, "methods.gnn.model: unknown method 'ngn'"),
        ({"methods": {"gnn": {"pretrained": "x"}}}, "methods.gnn.pretrained: unknown method 'x'"),
        ({"methods": {"gnn": {"start": "nowhere"}}}, "methods.gnn.start: nowhere has no method"),
        ({"authors_weights": "/nowhere.pth"}, "authors_weights=/nowhere.pth: no such file"),
        ({"speech": "folder"}, "speech=folder needs speech_root=PATH"),
        ({"speech": "folder", "speech_root": "/nowhere"}, "speech_root=/nowhere: no such folder"),
        (
            {"speech": "librispeech", "librispeech_root": "/nowhere"},
            "data of librispeech: /nowhere: no such folder",
        ),
    ],
)
def test_mistakes_are_named_before_a_run(root: Path, changes: Config, words: str) -> None:
    with pytest.raises(InputError, match=words):
        jobs.check(Plan(resolved(root, **changes)))


@pytest.mark.parametrize("name", ["my method", "a'b", 'a"b', "a;b", "a/b", "$(x)"])
@pytest.mark.parametrize("kind", ["methods", "tables", "datasets", "faults", "sets"])
def test_names_that_are_no_file_names_are_refused(root: Path, kind: str, name: str) -> None:
    entries = {
        "methods": {"module": "nlls"},
        "tables": resolved(root)["tables"]["table1"],
        "datasets": {"module": "six_faces"},
        "faults": {"kind": "moved", "levels": [1]},
        "sets": ["nlls"],
    }
    with pytest.raises(InputError, match=re.escape(kind)):
        resolved(root, **{kind: {name: entries[kind]}})


@pytest.mark.parametrize("profile", ["config", "smoke", "twin", "faults"])
def test_shipped_profiles_have_nothing_to_be_named(root: Path, profile: str) -> None:
    jobs.check(Plan(resolved(root, f"{profile}.yaml")))


def test_faults_and_numbers_of_sources_are_tracks(root: Path) -> None:
    plan = Plan(resolved(root, "faults.yaml"))
    tracks = {cell.track for cell in plan.cells_of("table_fault_kinds")}
    assert {"speech3", "speech3@moved-0.05", "speech3@noisy3-10"} <= tracks
    detected = {cell.track for cell in plan.cells_of("table_fault_detector")}
    assert "speech3" not in detected  # nothing is faulty there
    assert detected < tracks
    mixed = [cell.track for cell in plan.cells_of("table_fault_sources")]
    assert mixed == [f"speech3@sources-{count}" for count in (1, 2, 3)]
    assert plan.partners("luvira_twin", mixed[0]) == [
        "results/faults/data/luvira_twin/music3",
        "results/faults/data/luvira_twin/speech3",
    ]


def test_each_experiment_has_the_metrics_of_its_kind(root: Path) -> None:
    plan = Plan(resolved(root, "smoke.yaml"))
    kinds = {name: kind_of(spec) for name, spec in plan.experiments.items()}
    expected = {
        "table1": "errors",
        "table_conditions": "conditions",
        "fig3a": "conditions",
        "fig3e": "denoising",
        "table5": "costs",
        "table6": "counts",
        "leaderboard": "ranks",
        "table_fault_detector": "detection",
        "fig_fault_detector": "detection",
        "table_fault_sources": "sources",
        "fig_fault_clipped": "errors",
    }
    assert {name: kinds[name] for name in expected} == expected
    folder = "results/smoke/metrics"
    assert plan.metrics("fig3e") == [f"{folder}/six_faces/test/1a-6/fig3e-denoising.csv"]
    # Those with the same methods share their metrics, under the name of the first.
    assert plan.metrics("fig3a") == plan.metrics("fig3b") == plan.metrics("table_conditions")
    assert plan.metrics("fig3a") == [f"{folder}/six_faces/test/1a-6/table_simulated-conditions.csv"]
    cell = Cell("six_faces", "test", "1a", 6)
    shared = plan.conditions(cell, "table_simulated", "conditions")
    assert shared == ["t60_nominal_s", "snr_db"]
    assert plan.conditions(cell, "table_simulated", "errors") == []


def test_models_are_trained_on_the_split_that_keeps_the_track(default: Plan) -> None:
    cell = Cell("luvira_twin", "speech3", "1a", 7)
    assert default.model_of(cell, "multilat") is None
    gnn = default.model_of(cell, "gnn")
    assert gnn == Model("luvira_twin", "3", "gnn")
    assert default.folder(gnn) == "results/models/luvira_twin/3/gnn"
    tracks = default.training(gnn, "train")
    assert tracks
    assert not any(path.endswith(("/speech3", "/music3")) for path in tracks)
    dinn = default.model_of(cell, "dinn")  # one for each number of microphones
    assert (dinn.mics, dinn.name) == (7, "dinn-7")
    assert default.model_named("luvira_twin", "3", "dinn-7") == dinn
    assert default.model_named("luvira_twin", "3", "gnn") == gnn
    for method in ("multilat_ngcc", "multilat_plus_ngcc"):  # use the model of another
        assert default.model_of(cell, method).name == "ngcc_phat"
    assert default.model_of(cell, "wav2pos_ngcc").name == "wav2pos_m"


def test_trainings_begin_with_what_their_entry_says(root: Path, default: Plan) -> None:
    wav2pos = Model("luvira_twin", "3", "wav2pos")
    assert default.pretrained(wav2pos) == ["results/models/luvira_twin/3/ngcc_phat"]
    assert default.pretrained(wav2pos._replace(method="wav2pos_gcc")) == []
    assert default.start(wav2pos) == []
    plan = Plan(resolved(root, methods={"wav2pos": {"start": "models/hall"}}))
    assert plan.start(wav2pos) == ["models/hall"]
    assert plan.pretrained(wav2pos) == []  # it brings its own


def test_only_named_outputs_are_planned(root: Path) -> None:
    plan = Plan(resolved(root, outputs=["fig4", "table3"]))
    assert list(plan.experiments) == ["table3", "fig4"]
    assert {model.name for model in plan.models.values()} == {"wav2pos_m"}
    assert ("six_faces", "test") in plan.tracks


def test_paths_begin_with_the_folder_of_the_run(root: Path) -> None:
    plan = Plan(resolved(root, "smoke.yaml"), "<results>")
    paths = [*plan.table_files, *plan.figure_files, *plan.metric_files, *plan.models]
    assert all(path.startswith("<results>/") for path in paths)
    assert len(set(paths)) == len(paths)


# ------------------------------------------------------------------ what runs again


def digests(plan: Plan) -> dict[str, str]:
    """Digest of what each kind of job reads."""
    cell = plan.cells_of("table1")[0]
    read = {
        "speech": jobs.prepare(plan, "speech"),
        "six_faces": jobs.simulate(plan, "six_faces"),
        "luvira_twin": jobs.simulate(plan, "luvira_twin"),
        "metrics": jobs.evaluate(plan),
        "properties": jobs.properties(plan, cell),
        "reproduction": jobs.reproduction(plan),
    }
    for name, entry in plan.methods.items():
        read[f"predict {name}"] = jobs.predict(plan, name)
        if entry.learned and not entry.model:
            read[f"train {name}"] = jobs.train(plan, Model("luvira_twin", "3", name))
    read |= {name: jobs.table(plan, name) for name in plan.config["tables"]}
    read |= {name: jobs.figure(plan, name) for name in plan.config["figures"]}
    return {name: provenance.digest(value) for name, value in read.items()}


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"tables": {"table3": {"caption": "Another."}}}, {"table3"}),
        ({"figures": {"fig1": {"median_frames": 5}}}, {"fig1"}),
        (  # captions say how many passes
            {"methods": {"gnn_m": {"options": {"epochs": 1}}}},
            {"train gnn_m", "predict gnn_m", "table2"},
        ),
        # gnn_m has its own number of epochs.
        (
            {"methods": {"gnn": {"options": {"epochs": 1}}}},
            {"train gnn", "predict gnn", "train gnn_seed?", "predict gnn_seed?", "properties"}
            | {"table1", "table5", "table7", "table_[!l]*", "leaderboard"},
        ),
        ({"training": {"precision": "bf16"}}, {"train *"}),
        ({"evaluation": {"block": 3}}, {"metrics"}),
        ({"network": {"retries": 9}, "offline": True}, set()),
        ({"methods": {"nlls": {"label": "NLLS"}}}, {"table*", "leaderboard", "fig*"}),
    ],
)
def test_a_change_reaches_the_jobs_that_read_it(
    root: Path, default: Plan, changes: Config, again: set[str]
) -> None:
    before, after = digests(default), digests(Plan(resolved(root, **changes)))
    changed = {name for name in before if before[name] != after[name]}
    for pattern in again:
        assert fnmatch.filter(changed, pattern), pattern
    assert changed == {name for pattern in again for name in fnmatch.filter(changed, pattern)}


def test_a_new_figure_touches_nothing_else(root: Path, default: Plan) -> None:
    spec = dict(default.config["figures"]["fig7"]) | {"title": "Another."}
    plan = Plan(resolved(root, figures={"fig8": spec}))
    after = digests(plan)
    assert after.pop("fig8")
    assert after == digests(default)
    assert plan.models == default.models


def test_a_dataset_may_have_options_of_its_own_for_a_training(tmp_path: Path) -> None:
    """Its models alone are trained again."""

    def plan_of(training: dict) -> Plan:
        (tmp_path / "c.yaml").write_text(json.dumps({"datasets": {"six_faces": training}}))
        return Plan(config.load(tmp_path / "c.yaml"))

    plain, own = plan_of({}), plan_of({"training": {"gnn": {"epochs": 3, "mirrored": True}}})
    for folder, model in plain.models.items():
        same = jobs.train(plain, model) == jobs.train(own, model)
        assert same == (folder != "results/models/six_faces/speakers/gnn"), folder
    assert own.entry("gnn", "six_faces").options["epochs"] == 3
    assert "mirrored" not in own.entry("gnn", "luvira_twin").options
    with pytest.raises(InputError, match=r"six_faces.training: unknown method .gnm."):
        plan_of({"training": {"gnm": {}}})
    with pytest.raises(InputError, match=r"training.gnn.options: unknown key 'epoch'"):
        plan_of({"training": {"gnn": {"epoch": 3}}})


def test_plan_imports_no_method_and_no_torch() -> None:
    program = (
        "import sys; from wavloc import config, jobs; from wavloc.plan import Plan; "
        "plan = Plan(config.load(sys.argv[1])); jobs.check(plan); plan.metric_files; "
        "[jobs.code('methods', entry.module) for entry in plan.methods.values()]; "
        "kinds = ('wavloc.methods.classical.', 'wavloc.methods.learned.', 'torch.'); "
        "sys.exit(', '.join(name for name in sys.modules if name.startswith(kinds)) or 0)"
    )
    path = Path(__file__).parents[1] / "config" / "config.yaml"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------ the plan file


def test_plan_file_is_written_only_when_it_changed(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "results" / "plan.json"
    config.save(resolved(root), path)
    first = path.stat()
    config.save(resolved(root), path)
    assert path.stat().st_mtime_ns == first.st_mtime_ns
    assert config.load(path) == resolved(root)
    config.save(resolved(root, seed=1), path)
    assert config.load(path)["seed"] == 1
    (tmp_path / "else.json").write_text("[]")
    with pytest.raises(InputError, match="no plan of a run"):
        config.load(tmp_path / "else.json")


def test_entries_are_found_by_name(root: Path) -> None:
    assert registry.named("wav2pos_m").module == "wav2pos"
    assert registry.named("wav2pos_m").options == {"masking": "random"}  # not reduced
    assert registry.named("center", {}).label == "center"  # a module without an entry
    with pytest.raises(InputError, match="unknown method 'wizard', expected one of"):
        registry.named("wizard")
    changed = registry.named("gnn_m").changed({"options": {"epochs": 3}})
    assert changed.options == {"fewest_mics": 5, "epochs": 3}
    with pytest.raises(InputError, match=r"methods\.gnn: unknown key 'optoins'"):
        registry.named("gnn").changed({"optoins": {}})


def test_methods_that_need_sound_are_not_run_on_delays(root: Path, default: Plan) -> None:
    cell = default.cells_of("table_lund12")[0]
    run = default.cells[cell]
    assert {"multilat", "multilat_plus", "nlls", "oracle", "center"} <= set(run)
    assert not {"srp_phat", "wav2pos", "multilat_ngcc"} & set(run)
    assert not any(model.dataset == "lund12" for model in default.models.values())
    rows = jobs.table(default, "table_lund12")["methods"]
    assert {name for name, row in rows.items() if "refused" not in row} <= set(run)
    assert "needs sound" in rows["wav2pos"]["refused"]
    drawn = resolved(root, figures={"fig_lund12": {"methods": ["multilat", "gnn"]}})
    assert list(jobs.figure(Plan(drawn), "fig_lund12")["methods"]) == ["multilat"]
    entry = {"module": "srp_phat", "from_delays": True}
    assert "mine" in Plan(resolved(root, methods={"mine": entry})).cells[cell]
    deaf = {"table_lund12": {"methods": ["srp_phat"]}}
    with pytest.raises(InputError, match=r"table_lund12.methods: each of them needs sound"):
        jobs.check(Plan(resolved(root, tables=deaf)))


def test_tables_apart_are_made_by_name_alone(default: Plan) -> None:
    """Their trainings are no part of a whole run, nor of what it shows."""
    plan = default
    assert not [path for path in plan.table_files if "table_seeds" in path]
    assert not [path for path in plan.judged + plan.metric_files if "seeds" in path]
    assert not [folder for folder in plan.models if "seed" in folder]
    models = plan.table_models("table_seeds")
    assert len(dict(models)) == len({folder for _, folder in models}) == 12
    assert plan.outputs("table_seeds")[0].endswith("tables/table_seeds.csv")
    assert "table_seeds" not in jobs.report(plan)["tables"]
    seeds = [plan.methods[name].seed_name for name in ("wav2pos", "wav2pos_seed1", "gnn_seed1")]
    assert len(set(seeds)) == 3


def test_rows_of_the_authors_weights_are_there_with_their_file(
    root: Path, default: Plan, tmp_path: Path
) -> None:
    """Multilat* with the published network, and wav2pos trained on its features."""
    rows = ["multilat_ngcc_authors", "wav2pos_authors"]
    assert not {*rows, "ngcc_phat_authors"} & set(default.methods)
    weights = tmp_path / "weights.pth"
    weights.touch()
    plan = Plan(resolved(root, authors_weights=str(weights)))
    jobs.check(plan)
    assert set(plan.methods_of("table1")) - set(default.methods_of("table1")) == set(rows)
    assert plan.methods_of("table7") == default.methods_of("table7")
    models = {model.method: model for model in plan.models.values() if model.split == "3"}
    imported, trained = models["ngcc_phat_authors"], models["wav2pos_authors"]
    assert plan.imported(imported) == [str(weights)]
    assert plan.imported(trained) == []
    assert plan.pretrained(trained) == [plan.folder(imported)]
    said = jobs.networks(plan, "table1")
    assert "wav2pos (authors' NGCC-PHAT)" in said
    assert "authors' weights" not in said  # not reduced


def test_single_frames_are_shown_where_the_run_has_them(default: Plan, root: Path) -> None:
    assert default.single_frames == Cell("luvira_twin", "speech3", "1a", 11)
    assert default.figure_files[-1].endswith("figures/single_frames.html")
    job = jobs.single_frames(default)
    asked = {key: job["spec"][key] for key in ("method", "worst", "drawn")}
    assert asked == {"method": "steered", "worst": 10, "drawn": 10}
    assert job["spec"]["cell"] == "speech3, setup 1a, 11 microphones"
    assert "steered_track" in job["methods"]
    for changes in (
        {"outputs": ["table7"]},
        {"single_frames": {"track": "speech1"}},
        {"single_frames": {"method": "wav2pos_m"}},
        {"tables": {"table1": {"methods": ["multilat", "gnn"]}}},
    ):
        plan = Plan(resolved(root, **changes))
        assert plan.single_frames is None
        assert not [path for path in plan.figure_files if "single" in path]
        with pytest.raises(InputError, match=r"config, single_frames: \{.*, expected a table of"):
            jobs.single_frames(plan)
    deaf = {"table": "table_lund12", "track": "chirps", "method": "steered"}
    assert Plan(resolved(root, single_frames=deaf)).single_frames is None


def test_captions_say_what_reduced_networks_are(default: Plan, root: Path) -> None:
    plan = default
    said = jobs.networks(plan, "table1", {"wav2pos": {3152}})
    assert "wav2pos: 6 passes of 3,152 frames" in said
    splits = [folder for name, folder in plan.table_models("table7") if name == "wav2pos"]
    assert [Path(folder).parent.name for folder in splits] == ["1", "2", "3", "4"]
    said_of_all = jobs.networks(plan, "table7", {"wav2pos": {3152, 2966}})
    assert "wav2pos: 6 passes of 2,966 to 3,152 frames" in said_of_all
    assert "6 passes of" not in jobs.networks(plan, "table7", {"wav2pos": {3152, 0}})
    assert "GNN: 30 passes" in said
    assert said.startswith("Trained networks are reduced")
    assert said.endswith("the papers' are 500 epochs at full size.")
    assert jobs.networks(plan, "table6") == ""  # no method
    assert "reduced" in jobs.report(plan)["figures"]["fig6"]["title"]
    assert "reduced" not in jobs.report(plan)["figures"]["fig5"]["title"]
    full = Plan(config.load(root / "config/twin.yaml"))
    assert jobs.networks(full, "table1") == ""


def test_the_night_trains_the_most_useful_models_first(root: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(root / "workflow"))
    night = importlib.import_module("night")
    plan = Plan(config.load(root / "config/night.yaml"))
    order = [plan.folder(model).partition("models/")[2] for model in night.order(plan)]
    assert order[:3] == [f"luvira_twin/3/{name}" for name in ("wav2pos", "ngcc_phat", "gnn")]
    assert order.index("luvira_twin/3/fault_tolerant") < order.index("six_faces/speakers/wav2pos")
    assert order.index("six_faces/speakers/wav2pos") < order.index("luvira_twin/3/wav2pos_base")
    assert order.index("luvira_twin/3/wav2pos_m") < order.index("luvira_twin/1/wav2pos")
    splits = [name.rpartition("/")[0] for name in order[-12:]]
    assert splits == sorted(splits)  # one after the other: each has features on the disk
    assert len(order) == len(set(order)) == len(plan.models)
    begun = datetime.datetime(2026, 1, 1, 22, 0)
    for clock, now, expected in (
        ("06:00", begun.replace(day=2, hour=5), False),
        ("06:00", begun.replace(day=2, hour=7), True),
        ("23:00", begun, False),
        ("23:00", begun.replace(hour=23, minute=1), True),
    ):
        assert night.past(clock, begun, now) is expected
