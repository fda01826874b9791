"""The configuration: shipped files are valid, mistakes are named before anything runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from wavloc import config, plugins
from wavloc.datasets import fetch
from wavloc.errors import InputError
from wavloc.methods import registry

PROFILES = ["smoke.yaml", "twin.yaml", "paper.yaml"]


def test_default_config_is_complete(root: Path) -> None:
    loaded = config.load(root / "config" / "config.yaml")
    assert loaded["seed"] == 0
    assert set(loaded["methods"]) >= {p.stem for p in (root / "config" / "methods").glob("*.yaml")}
    assert {entry["module"] for entry in loaded["methods"].values()} == set(registry.modules())
    assert loaded["evaluation"]["resamples"] >= 1000


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_state_only_differences(root: Path, name: str) -> None:
    base = [config.read_yaml(root / "config" / name) for name in ("reduced.yaml", "config.yaml")]
    base = config.merge(*base)
    given = yaml.safe_load((root / "config" / name).read_text())
    config.load(root / "config" / "config.yaml", root / "config" / name)

    def leaves(value, path=()):
        if not isinstance(value, dict):
            yield path, value
            return
        for key, part in value.items():
            yield from leaves(part, (*path, key))

    same = [path for path, value in leaves(given) if dict(leaves(base)).get(path) == value]
    # A sound kind is stated whole, so that its size can be read in one place.
    assert [path for path in same if path[0] != "sound"] == []


@pytest.mark.parametrize("profile", ["twin.yaml", "paper.yaml"])
def test_full_profiles_are_as_published(root: Path, profile: str) -> None:
    """What the default run reduces is in the code's defaults again; variants change one thing."""
    folder = root / "config"
    given = config.merge(
        config.read_yaml(folder / "config.yaml"), config.read_yaml(folder / profile)
    )
    # With the authors' weights, so that every entry is there.
    loaded = config.resolve(given | {"authors_weights": "file"}, folder)["methods"]
    stated = {}
    for path in (folder / "methods").glob("*.yaml"):
        entry = config.read_yaml(path)
        stated[path.stem] = entry.get("options", {})
        stated |= {name: v.get("options", {}) for name, v in entry.get("variants", {}).items()}
    assert {name: entry["options"] for name, entry in loaded.items()} == stated


def test_options_are_read_without_importing_methods() -> None:
    """Names and defaults are those of the classes."""
    for kind in ("methods", "datasets"):
        for module in plugins.modules(kind):
            options = plugins.plugin_class(kind, module).Options
            read = plugins.option_defaults(kind, module)
            fields = {field.name: field for field in dataclasses.fields(options)}
            assert list(read) == list(fields), module
            for name, field in fields.items():
                if field.default is not dataclasses.MISSING:
                    assert read[name] == field.default, (module, name)


def test_reduced_networks_state_only_differences(root: Path) -> None:
    folder = root / "config"
    published = config.load(folder / "config.yaml", folder / "twin.yaml")["methods"]
    for name, entry in config.read_yaml(folder / "reduced.yaml")["methods"].items():
        method = registry.method_class(published[name]["module"])
        options = plugins.make_options(method, published[name]["options"], name)
        for key, value in entry["options"].items():
            stated = tuple(value) if isinstance(value, list) else value
            assert stated != getattr(options, key), f"{name}.{key}"


def test_entries_like_others(root: Path) -> None:
    loaded = config.load(root / "config" / "config.yaml")["methods"]
    assert loaded["wav2pos_m"]["module"] == "wav2pos"
    assert loaded["wav2pos_m"]["pretrained"] == "ngcc_phat"
    assert loaded["wav2pos_m"]["learned"] is True
    assert loaded["wav2pos_base"]["pretrained"] is None
    assert loaded["wav2pos_fresh"]["label"] == "wav2pos_fresh"
    options = loaded["wav2pos_m"]["options"]
    assert options == loaded["wav2pos"]["options"] | {"masking": "random", "epochs": 10}
    for change, words in (
        ({"gnn_m": {"like": "ngn"}}, "methods.gnn_m.like: 'ngn'"),
        ({"gnn_m": {"like": "wav2pos_m"}}, "not itself like another"),
        ({"nlls": {"variants": {"gnn_m": {}, "gnn": {}}}, "gnn": {}}, "'gnn' is there twice"),
    ):
        given = config.merge(config.read_yaml(root / "config" / "config.yaml"), {"methods": change})
        with pytest.raises(InputError, match=words):
            config.resolve(given, root / "config")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sead": 1}, "'sead' was unexpected"),
        ({"seed": -1}, "seed"),
        ({"speech": "radio"}, "'radio' is not one of"),
        ({"networks": "tiny"}, "networks: 'tiny' is not one of"),
        ({"methods": {"multilat": {"optoins": {}}}}, "methods.multilat.*'optoins'"),
        (
            {"methods": {"multilat": {"options": {"drawz": 1}}}},
            "methods.multilat.options: unknown key 'drawz'",
        ),
        ({"methods": {"wizard": {}}}, "unknown method 'wizard'"),
        ({"datasets": {"moon": {}}}, "unknown dataset 'moon'"),
        ({"datasets": {"six_faces": {"options": {"rooom": 1}}}}, "unknown key 'rooom'"),
        ({"evaluation": {"resamples": 10}}, "evaluation.resamples"),
        ({"datasets": {"..": {"module": "six_faces"}}}, r"'\.\.' does not match"),
        ({"training": {"device": "cpu$(touch X)"}}, "training.device: 'cpu..touch X.' does not"),
        ({"tables": {"table1": {"metrics": "mae"}}}, "tables.table1.metrics"),
        ({"datasets": 5}, "config, datasets: 5 is not of type 'object'"),
        ({"pathvars": {"results": ""}}, "config, pathvars.results: '' does not match"),
        (
            {"network": {"timeout_s": float("nan")}},
            "config, network.timeout_s: nan, expected a num",
        ),
        (
            {"network": {"timeout_s": "["}},
            "config, network.timeout_s: '\\[' is not of type 'number'",
        ),
        ({"cache": "{x}"}, "config, cache: '{x}' does not match"),
        ({"training": {"threads": 0}}, "config, training.threads: 0 is less than the minimum"),
        ({"training": {"device": "mps"}}, "config, training.device: 'mps' does not match"),
        ({"outputs": ["table1", "tabel2"]}, "outputs: 'tabel2', expected tables and figures"),
        ({"outputs": ["leaderboard"]}, "outputs: 'leaderboard' ranks 'table7', which is not th"),
    ],
)
def test_mistakes_are_named(root: Path, change: dict, words: str) -> None:
    given = config.merge(config.read_yaml(root / "config" / "config.yaml"), change)
    with pytest.raises(InputError, match=words):
        config.resolve(given, root / "config")


def test_only_outputs_are_made(root: Path) -> None:
    base = config.read_yaml(root / "config" / "config.yaml")
    found = config.resolve(base | {"outputs": ["fig4", "table7", "table1"]}, root / "config")
    assert (list(found["tables"]), list(found["figures"])) == (["table1", "table7"], ["fig4"])
    assert config.resolve(base, root / "config")["tables"].keys() > found["tables"].keys()


def test_words_of_the_command_line_become_what_they_mean(root: Path) -> None:
    base = config.read_yaml(root / "config" / "config.yaml")
    given = {"offline": "true", "network": {"timeout_s": "2.5"}, "training": {"threads": "2"}}
    found = config.resolve(config.merge(base, given), root / "config")
    assert found["offline"] is True
    assert found["network"]["timeout_s"] == 2.5
    assert found["training"]["threads"] == 2
    with pytest.raises(InputError, match="config, offline: 'maybe' is not of type 'boolean'"):
        config.resolve(config.merge(base, {"offline": "maybe"}), root / "config")


def test_downloads_of_datasets_come_to_the_others(root: Path) -> None:
    found = config.load(root / "config" / "config.yaml")["downloads"]
    assert set(found) >= {"librispeech", "luvira"}
    assert found["luvira"]["user"] == "download"
    for name, entry in found.items():
        assert fetch.read_entry(name, entry).licence != "not stated"


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: [1, 2\nb: 3\n")
    with pytest.raises(InputError, match="not valid YAML") as caught:
        config.read_yaml(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


def test_readme_of_the_config_is_up_to_date(root: Path) -> None:
    import subprocess
    import sys

    script = root / "workflow" / "config_readme.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
