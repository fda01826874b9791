"""Cards of methods and datasets: made of entries and of what a run and a benchmark measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from wavloc import config
from wavloc.errors import InputError
from wavloc.methods import registry


@pytest.fixture(scope="module")
def cards(root: Path) -> ModuleType:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(root / "docs"))
        import cards
    return cards


@pytest.fixture(scope="module")
def pages(root: Path, cards: ModuleType) -> dict[str, str]:
    names = ("methods.md", "datasets.md")
    return {name: cards.filled((root / "docs" / name).read_text("utf-8"), name) for name in names}


def card(text: str, heading: str) -> dict[str, str]:
    """Rows of the first table below a heading."""
    (below,) = re.findall(rf"^{heading}\n\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [line.strip("| ").split(" | ", 1) for line in below.splitlines()[2:]]
    return dict(rows)


def test_every_method_states_what_it_is_given_what_it_costs_and_how_far_off_it_is(pages) -> None:
    names = re.findall(r"^### `(\w+)`$", pages["methods.md"], re.MULTILINE)
    assert len(names) == 20
    for name in names:
        rows = card(pages["methods.md"], f"### `{name}`")
        assert rows.keys() >= {"in tables", "reference", "learns", "given", "microphones"}, name
        assert re.fullmatch(
            r"(as `\w+`: )?[\d., ms]+ with 5, 11, 16 microphones", rows["time of a frame"]
        ), name
        assert ("training" in rows) == (rows["learns"] == "trained on a dataset"), name
    assert (
        "epochs on luvira_twin; published: 64.3 h"
        in card(pages["methods.md"], "### `wav2pos`")["training"]
    )


def test_numbers_of_a_card_are_those_of_the_files(root: Path, pages, cards) -> None:
    table = pd.read_csv(root / "results/published/default/tables/table1.csv")
    row = table[(table["method"] == "steered") & (table["track"] == "speech3")].iloc[0]
    half = (row["ci_high"] - row["ci_low"]) / 2
    shown = card(pages["methods.md"], "### `steered`")["MAE"]
    assert f"speech3 {row['value']:.1f} ± {half:.1f} cm" in shown
    kept = json.loads((root / "results/published/inference.json").read_text())
    times = [r for r in kept["rows"] if r["method"] == "nlls" and r["over"] == "microphones"]
    (slowest,) = (r["median"] for r in times if r["size"] == 16 and r["metric"] == "ms per frame")
    assert f"{slowest:.2g} ms with" in card(pages["methods.md"], "### `nlls`")["time of a frame"]
    run = json.loads((root / "results/published/default/provenance.json").read_text())
    assert f"revision {run['git']}" in pages["methods.md"]
    assert "+" not in run["git"] + kept["provenance"]["git"]  # made by a revision that is there


def test_every_dataset_states_its_terms_tracks_splits_and_options(root: Path, pages) -> None:
    loaded = config.load(root / "config/config.yaml")["datasets"]
    headings = re.findall(r"^## ((\w+): .*)$", pages["datasets.md"], re.MULTILINE)
    assert {name for _, name in headings} == loaded.keys()
    for heading, name in headings:
        rows = card(pages["datasets.md"], f"## {re.escape(heading)}")
        wanted = {"origin", "licence", "how to get it", "size", "array", "tracks", "splits"}
        assert rows.keys() >= wanted, name
        terms = re.split(r" \(|;", loaded[name]["licence"])[0]
        assert rows["licence"].startswith(terms), name
        below = pages["datasets.md"].partition(heading)[2].partition("\n## ")[0]
        assert re.search(r"Known problems|What goes wrong", below), name
    twin = card(pages["datasets.md"], "## luvira_twin: its simulated stand-in")
    assert "`hop` 1024 (2048 in the default run)" in twin["options"]
    assert "music3 152" in twin["frames in the default run"]


def test_a_page_without_a_card_or_with_one_too_many_is_refused(root: Path, cards) -> None:
    text = (root / "docs/methods.md").read_text("utf-8")
    assert cards.filled("any", "faq.md") == "any"
    for changed in (text.replace("### `gnn_m`", "###"), text + "\n### `mine`\n"):
        with pytest.raises(
            InputError, match=r"docs/methods.md: (gnn_m|mine): expected one heading"
        ):
            cards.filled(changed, "methods.md")


def test_the_table_of_the_readme_is_that_of_the_kept_run(root: Path, cards) -> None:
    measured = cards.Measured()
    text = (root / "README.md").read_text("utf-8")
    (revision,) = re.findall(r"What the default run shows \(revision (\w+);", text)
    assert measured.run["git"].startswith(revision)
    rows = re.findall(r"^\| (.*) \| (.* cm\**) \| (.* cm\**) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) >= 8
    stems = {entry.name: entry.label.partition(" (")[0] for entry in registry.shipped().values()}
    for label, *shown in rows:
        fitting = [name for name, stem in stems.items() if label.startswith(stem)]
        name = max(fitting, key=lambda name: (len(stems[name]), -len(name)))
        found = measured.errors(name, cards.SHOWN)
        for place, cell in zip(cards.SHOWN.values(), shown, strict=True):
            assert cell == "no track" or f"{place} {cell.strip('*')}" in found, f"{label}: {found}"
