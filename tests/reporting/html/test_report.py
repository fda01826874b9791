"""The report: one file with everything, opened in a browser that has no network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.frames import anechoic_frames
from wavloc import config, files
from wavloc.errors import InputError
from wavloc.evaluation import score
from wavloc.methods.predictions import Predictions
from wavloc.reading import READING
from wavloc.reporting import figures, html, tables
from wavloc.reporting.html import markup, shares, training, wins
from wavloc.reporting.html import single_frames as single
from wavloc.reporting.html.page import Content, write_report
from wavloc.reporting.tables import reproduction
from wavloc.training import history

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),  # WebGL without a graphics card
)
ERRORS_M = {"multilat": 0.05, "gnn": 0.3, "wav2pos": 0.2, "center": 1.5}
REFUSAL = "dinn was trained for 7 microphones & <more>, got 11"
SHOWN = "luvira_twin speech3"
FRAMES = {"cell": "speech3, setup 1a, 11 microphones", "made": "Made up.", "method": "multilat"}
DEVIATIONS = "# Where we depart\n\n## Data\n\n| what | why |\n|---|---|\n| `a` | *b* <i> |\n"


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A results folder of made-up answers, written by the stages' own functions; its config."""
    folder = tmp_path_factory.mktemp("results")
    loaded = config.load(root / "config" / "config.yaml")
    loaded["pathvars"]["benchmarks"] = str(folder / "benchmarks")
    chosen = {name: loaded["methods"][name] for name in (*ERRORS_M, "dinn")}
    shown = {"tracks": ["speech3"], "setups": ["1a"], "dataset": "luvira_twin"}
    loaded["methods"] = chosen
    loaded["tables"] = {"table1": loaded["tables"]["table1"] | shown}
    loaded["figures"] = {name: loaded["figures"][name] for name in ("fig5", "fig7")}

    frames = anechoic_frames(40)
    frames.table["time_s"] += np.where(frames.table["frame"] < 20, 0.0, 1.0)  # a pause
    frames.save(folder / "data/luvira_twin/speech3")
    rng = np.random.default_rng(0)
    found = {}
    for name, error in ERRORS_M.items():
        position = frames.source_position + error * rng.standard_normal((40, 3)) / 3**0.5
        position[:4] = np.nan if name == "multilat" else position[:4]
        found[name] = Predictions(position, np.full(40, "ok", object), meta={"method": name})
    meta = {"method": "dinn", "refused": REFUSAL}
    found["dinn"] = Predictions(np.full((40, 3), np.nan), np.full(40, "refused", object), meta=meta)
    answers = folder / "predictions/luvira_twin/speech3/1a-11"
    for name, answer in found.items():
        answer.save(answers / f"{name}.parquet")
    cell = {"dataset": "luvira_twin", "track": "speech3", "setup": "1a", "mics": 11}
    score("errors", found, frames, cell, resamples=1000).to_csv(folder / "metrics.csv", index=False)
    rows = {
        name: {
            "label": entry["label"], "paper_label": entry.get("paper_label"), "reference": "",
            "place": list(chosen).index(name), "input_types": "sound",
            "permutation_invariant": True, "variable_mics": True,
            "parameters": {"gnn": 9_000, "wav2pos": 1_200_000}.get(name), "control": False,
        }
        for name, entry in chosen.items()
    }  # fmt: skip
    spec = loaded["tables"]["table1"]
    paper = root / "config" / "paper_values.csv"
    frame = tables.assemble("table1", spec, rows, [folder / "metrics.csv"], paper)
    tables.write(folder / "tables/table1", frame, spec, rows)
    judged = reproduction.view([folder / "tables/table1.csv"], [])
    reproduction.write(folder / "tables/reproduction", judged)
    data = {"speech3": folder / "data/luvira_twin/speech3"}
    predicted = {f"speech3/{name}": answers / f"{name}.parquet" for name in ERRORS_M}
    for name, figure in loaded["figures"].items():
        figures.draw(figure, data, predicted, rows, folder / "figures" / name)
    page = folder / "figures" / "single_frames.html"
    apart = rows | {"center": rows["center"] | {"control": True}}
    single.write(page, frames, found, apart, FRAMES | {"worst": 3, "drawn": 2}, 0)
    for name, epochs in (("gnn", 12), ("wav2pos", 1)):
        model = folder / "models/luvira_twin/3" / name
        columns = ("epoch", "train_loss", "loss", "mae_m", "criterion", "frames_per_s")
        history.write(
            model,
            [
                dict(zip(columns, (e, 2 / e, 2.2 / e, 1 / e, 1 / e, 50), strict=True))
                for e in range(1, epochs + 1)
            ],
        )
        note = {"frames": 288, "epochs": epochs, "best_epoch": epochs, "criterion": 0.5}
        note |= {"flat_since": epochs, "converged": False}
        files.write_json(model / "method.json", {"parameters": 9000, "training": note})
    header = "s\th:m:s\tmax_rss\tmax_vms\n"
    for name, line in (
        ("train/luvira_twin/3/gnn", "12.5\t0:00:12\t100\t-"),
        ("train/luvira_twin/3/wav2pos", "2.5\t0:00:02\t300\t-"),
        ("figures/fig5", "0.1\t0:00:00\t-\t-"),
    ):
        files.write_text(folder / "benchmarks" / f"{name}.tsv", f"{header}{line}\n")
    return folder, loaded


@pytest.fixture(scope="module")
def page(results: tuple[Path, dict], root: Path) -> Path:
    folder, loaded = results
    out = folder / "report.html"
    html.report(folder, loaded, out, root / "docs" / "deviations.md")
    return out


class Page(HTMLParser):
    """Collects what a page would load, how many rows its tables have and whether tags balance."""

    VOID = ("meta", "img", "br", "link", "input", "path", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.loads, self.rows, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows.append(0)
        if tag == "td" and self.open[-3] == "tbody":
            self.rows[-1] += 1

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_report_is_one_file_with_everything(results: tuple[Path, dict], page: Path) -> None:
    text = page.read_text()
    read = Page()
    read.feed(text)
    assert read.open == []
    known = ("data:image/png;base64,", "data:,", "#")
    others = [load for load in read.loads if not load.startswith(known)]
    assert others == ["figures/single_frames.html"]  # a link
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:|url\(|@import", text)
    assert min(read.rows) > 0
    words = " ".join(read.text)
    for shown in ("wav2pos", REFUSAL, "1.2 M", "N/A", "Where we depart", "config digest", "CC BY"):
        assert shown in words
    train = [*("train", "2", "15.0", "99.3", "12.5"), "luvira_twin/3/gnn", "300"]  # both jobs
    assert train in [re.findall(r">([^<]+)</td>", row) for row in text.split("<tr>")]
    assert json.dumps(results[1], indent=1, sort_keys=True, ensure_ascii=False) in "".join(
        read.text
    )
    assert len(text) < 4e6
    regions = re.findall(r'role="region" aria-label="([^"]*)"', text)
    assert len(regions) > 10
    assert len(set(regions)) == len(regions)  # also of those that are folded


def test_equal_results_give_an_equal_report(
    results: tuple[Path, dict], page: Path, root: Path, tmp_path: Path
) -> None:
    folder, loaded = results
    html.report(folder, loaded, tmp_path / "again.html", root / "docs" / "deviations.md")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    given = Content(
        bad, bad, bad, sources=[(bad, bad, bad)], notes=[bad], deviations=f"{DEVIATIONS}\n{bad}"
    )
    write_report(tmp_path / "r.html", given)
    text = (tmp_path / "r.html").read_text()
    assert "<script>alert" not in text
    assert "<i>" not in text
    assert "<code>a</code>" in text
    assert "This run made no table" in text
    assert "This run kept no run times" in text


def test_missing_and_damaged_files_are_named(results: tuple[Path, dict], tmp_path: Path) -> None:
    folder, loaded = results
    more = loaded | {"tables": loaded["tables"] | {"table9": loaded["tables"]["table1"]}}
    with pytest.raises(InputError, match=r"table9\.csv: missing; make tables and figures first"):
        html.report(folder, more, tmp_path / "r.html", None)
    (tmp_path / "fig.png").write_text("no picture")
    with pytest.raises(InputError, match=r"fig\.png: not a PNG picture"):
        write_report(tmp_path / "r.html", Content("", "", "", figures=[(tmp_path / "fig.png", "")]))
    (tmp_path / "train.tsv").write_text("s\n1\n")
    with pytest.raises(InputError, match=r"train\.tsv: expected a Snakemake benchmark"):
        write_report(tmp_path / "r.html", Content("", "", "", benchmarks=tmp_path))
    assert not (tmp_path / "r.html").exists()


def test_page_of_single_frames(results: tuple[Path, dict]) -> None:
    """The worst first, then others; every picture is described and waits until it is in sight."""
    text = (results[0] / "figures" / "single_frames.html").read_text()
    heads = re.findall(r"<h[23]>([^<]+)</h", text)
    assert heads[0] == "The 3 worst of Multilat"
    assert heads[1:4] == [f"Frame {n}, {0.064 * n:.2f} s" for n in range(3)]  # it gave up there
    assert heads[4] == "2 others, drawn"
    assert len(set(heads)) == len(heads) == 7
    pictures = re.findall(r"<img ([^>]+)>", text)
    assert len(pictures) == 5
    for picture in pictures:
        assert 'loading="lazy"' in picture
        assert 'src="data:image/webp;base64,' in picture
        told = r'alt="[^"]*wav2pos [\d.]+ c?m, DI-NN no position, Centre \(floor\) [\d.]+ c?m\.'
        assert re.search(told, picture)
    about = re.findall(r'<p class="soft">(Multilat[^<]+)</p>', text)
    assert about[0].startswith("Multilat: no position, ok; nearest: ")
    assert re.search(r"; \d of 4 methods within 30 cm\.$", about[4])
    assert "Errors: Multilat no position, GNN" in pictures[0]


def test_frames_are_chosen_by_their_error_and_the_seed() -> None:
    error = np.array([0.1, np.nan, 3.0, 0.2, 5.0, 0.3])
    spec = {"worst": 2, "drawn": 3}
    worst, drawn = single.chosen(error, spec, np.random.default_rng(0))
    assert worst.tolist() == [1, 4]
    assert len(set(drawn)) == 3
    assert set(drawn) <= {0, 2, 3, 5}
    assert drawn.tolist() == sorted(drawn)
    again = single.chosen(error, spec, np.random.default_rng(0))[1]
    assert again.tolist() == drawn.tolist()
    worst, drawn = single.chosen(error, {"worst": 4, "drawn": 9}, np.random.default_rng(0))
    assert (len(worst), drawn.tolist()) == (4, [0, 3])


def test_what_the_page_of_frames_lacks_is_named(results: tuple[Path, dict], tmp_path: Path) -> None:
    frames = anechoic_frames(4)
    found = {"gnn": Predictions(frames.source_position, np.full(4, "ok", object))}
    spec, rows = FRAMES | {"worst": 1, "drawn": 1}, {"gnn": {"label": "GNN", "place": 0}}
    for given, words in (
        ({"gnu": found["gnn"]}, "--predictions: no row of the table: 'gnu', expected one of gnn"),
        (found, "the method that chooses is missing: 'multilat', expected one of gnn"),
    ):
        with pytest.raises(InputError, match=words):
            single.write(tmp_path / "f.html", frames, given, rows, spec, 0)
    frames.audio = frames.audio[..., :0]
    with pytest.raises(InputError, match="page of single frames needs sound"):
        single.write(tmp_path / "f.html", frames, found, rows, spec | {"method": "gnn"}, 0)
    assert not (tmp_path / "f.html").exists()


def test_shares_of_frames_where_a_learned_method_is_nearer(results: tuple[Path, dict]) -> None:
    folder, loaded = results
    labels = {name: entry["label"] for name, entry in loaded["methods"].items()}
    made = shares.section(folder, loaded, labels)
    assert made["heads"] == ["method", f"{SHOWN}, 1a, 11 mics: nearer than Multilat (%)"]
    by_label = {label: float(share) for label, share in made["rows"]}
    assert list(by_label) == ["GNN", "wav2pos"]  # no control, none that refused
    assert 10 <= by_label["GNN"] < by_label["wav2pos"] < 50  # Multilat gives up in 4 of 40
    assert shares.section(folder / "nowhere", loaded, labels) is None


def test_weights_of_the_package_are_learned_too(root: Path) -> None:
    methods = config.load(root / "config" / "config.yaml")["methods"]
    kinds = {name: shares.kind_of(entry) for name, entry in methods.items()}
    assert kinds["steered"] == kinds["multilat_ngcc"] == kinds["wav2pos"] == "learned"
    assert kinds["srp_phat"] == kinds["multilat_plus"] == "classical"
    assert kinds["oracle"] == kinds["steered_track"] == "control"


def test_any_table_of_the_workflow_is_shown(tmp_path: Path) -> None:
    """A csv of other columns and a page of its own form: shown as it is, counted as no cells."""
    pd.DataFrame({"table": "table6", "split": ["train", "test"], "speakers": [9, 3]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    md = (
        "## Table VI\n\nSpeakers.\n\n| Split | Speakers |\n|:--|--:|\n| train | 9 |\n| test | 3 |\n"
    )
    (tmp_path / "t.md").write_text(md)
    pair = (tmp_path / "t.csv", tmp_path / "t.md")
    write_report(tmp_path / "r.html", Content("t", "p", "d", tables=[pair]))
    read = Page()
    read.feed((tmp_path / "r.html").read_text())
    assert "1 tables with 0 of 0 values" in " ".join(read.text)
    assert READING in " ".join(read.text)
    assert read.rows[:2] == [4, 4]


def test_equal_gaps_stand_in_one_row(tmp_path: Path) -> None:
    rows = [
        {"table": "t", "method": method, "setup": "1a", "mics": mics, "track": "speech3",
         "metric": metric, "value": float("nan") if method != "good" else 1.0, "note": why}
        for method, why in (("one", "too few"), ("good", ""), ("two", "too few"), ("three", "lost"))
        for mics in (5, 7)
        for metric in ("mae", "acc30")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.md").write_text("## T\n\n| a |\n|---|\n| b |\n")
    pair = (tmp_path / "t.csv", tmp_path / "t.md")
    write_report(tmp_path / "r.html", Content("t", "p", "d", tables=[pair]))
    section = (tmp_path / "r.html").read_text().split('id="not-computed"')[1].split("</section>")[0]
    cells = [re.findall(r"<td>([^<]*)</td>", row) for row in section.split("<tr>")[2:]]
    same = ["1a", "5, 7", "speech3", "mae, acc30"]
    assert cells == [["t", "too few", "one, two", *same], ["t", "lost", "three", *same]]


def scored(track: str, mics: int, **errors: float) -> pd.DataFrame:
    """Rows of a table: the mean error of methods, and by how much they are surely worse."""
    best = min(value for name, value in errors.items() if name != "center")
    rows = [
        {"dataset": "d", "track": track, "setup": "1a", "mics": mics, "method": name,
         "metric": metric, "value": value, "ci_low": value - 5}
        for name, error in errors.items()
        for metric, value in (("mae", error), ("difference_to_best", error - best))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_summary_says_which_method_wins_where() -> None:
    frames = [
        scored("a", 5, one=1.0, two=30.0, center=0.5),  # fewer microphones: not counted
        scored("a", 9, one=4.0, two=2.0, center=0.5),
        scored("b", 9, one=10.0, two=60.0, center=99.0),
        scored("c", 9, one=10.0, center=99.0),  # nothing to compare with
        pd.DataFrame({"table": ["table6"], "speakers": [3]}),
    ]
    frames.append(scored("e", 9, one=5.0, two=float("nan"), three=6.0))
    labels = {"one": "One", "two": "Two", "three": "Three", "center": "Centre"}
    found = wins.comparisons(frames, ["center"])
    assert [(c.name, c.best, c.sure) for c in found] == [
        ("d a, 1a, 9 mics", "two", False), ("d b, 1a, 9 mics", "one", True),
        ("d e, 1a, 9 mics", "one", False),
    ]  # fmt: skip
    first, second, third = wins.sentences(found, labels)
    assert first == (
        "One has the lowest mean error in 2 of 3 comparisons: in 2 of 3 on d (Two in 1)."
    )
    assert second.startswith("The lead over the next method is beyond chance in 1 of them")
    assert "2.0 cm (Two; d a, 1a, 9 mics) to 10.0 cm (One; d b, 1a, 9 mics)" in third
    other = scored("a", 4, three=1.0, two=2.0).assign(dataset="other")
    first, *_ = wins.sentences(wins.comparisons([*frames, other], ["center"]), labels)
    assert first.endswith("in 2 of 3 on d (Two in 1), in 0 of 1 on other (Three in 1).")
    methods = {
        name: {"label": label, "control": name == "center"} for name, label in labels.items()
    }
    drawn = wins.figure(frames, methods)
    kinds = [[dot["kind"] for dot in row["dots"]] for row in drawn["rows"]]
    assert kinds[1] == ["dot", "control", "best"]
    assert wins.figure(frames[4:5], methods) is None


def test_parts_of_a_table_stay_parts() -> None:
    made = markup.markdown(
        "| m | v |\n|---|--:|\n| a | 1<sup>b</sup> |\n| *Further* |  |\n| c | 2 |"
    )
    assert made.count("<tbody>") == 2
    assert '<tr class="rule">' in made
    assert "<td class=n>1<sup>b</sup></td>" in made


def test_curve_of_any_history() -> None:
    note = {"training": {"best_epoch": 2}}
    frame = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 0.0, 1.0], "loss": [2.0] * 3})
    frame["criterion"] = [0.0] * 3
    drawn = training.drawing(training.Model("d", "s", "<m>", frame, note, None))
    unsure = {"training": {"best_epoch": 2, "converged": False}}
    falling = training.drawing(training.Model("d", "s", "m", frame, unsure, None))
    assert "m, 3 epochs, still falls<" in falling
    assert "&lt;m&gt;, 3 epochs" in drawn
    assert "nan" not in drawn.split("<svg", 1)[1].split(">", 1)[1]


# ------------------------------------------------------------------------------- in a browser


class Opened:
    """The page in a browser without a network, and what the browser complained about."""

    def __init__(self, context, path: Path):
        self.complaints, self.requests = [], []
        self.page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def _console(self, message) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def view(self):
        """The 3-D view, drawn."""
        found = self.page.locator("#view")
        found.scroll_into_view_if_needed()
        self.page.wait_for_selector("#view[data-drawn] canvas", timeout=60_000)
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def desktop(browser, page: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    yield Opened(context, page)
    context.close()


def test_tables_and_pictures_are_there(desktop: Opened) -> None:
    counts = "[...document.querySelectorAll('table')].map(t => t.tBodies[0].rows.length)"
    rows = desktop.page.evaluate(counts)
    assert len(rows) > 10
    assert min(rows) > 0
    widths = "[...document.images].map(i => i.complete && i.naturalWidth)"
    desktop.page.wait_for_function(f"{widths}.every(Boolean)")
    assert len(desktop.page.evaluate(widths)) == 2


def test_tables_are_sorted_by_mouse_and_keyboard(desktop: Opened) -> None:
    table = desktop.page.locator("article.table table").first
    cells = "(t, n) => [...t.tBodies[0].rows].map(r => r.cells[n].textContent)"
    mae = table.locator("thead button", has_text="MAE").first
    column = mae.evaluate("b => b.parentElement.cellIndex")
    mae.click()
    upward = table.evaluate(f"t => ({cells})(t, {column})")
    numbers = [float(text.split()[0]) for text in upward[:-1]]
    assert numbers == sorted(numbers)
    assert upward[-1].startswith("N/A")  # rows without a number come last, both ways
    mae.focus()
    desktop.page.keyboard.press("Enter")
    assert table.evaluate(f"t => ({cells})(t, {column})") == [*upward[-2::-1], upward[-1]]
    assert mae.evaluate("b => b.parentElement.ariaSort") == "descending"
    parameters = table.locator("thead button", has_text="Params")
    column = parameters.evaluate("b => b.parentElement.cellIndex")
    parameters.press("Space")
    assert table.evaluate(f"t => ({cells})(t, {column})")[:2] == ["9 k", "1.2 M"]


def test_tables_show_the_methods_that_are_chosen(desktop: Opened) -> None:
    seen = "t => [...t.tBodies].flatMap(b => [...b.rows]).filter(r => r.offsetHeight)"
    seen += ".map(r => r.cells[0].textContent)"
    table = desktop.page.locator("article.table > .box table").first
    before, chosen = table.evaluate(seen), desktop.page.locator("#filter")
    assert {"GNN", "Multilat", "Centre (floor)"} <= set(before)
    chosen.get_by_label("GNN", exact=True).uncheck()
    assert table.evaluate(seen) == [name for name in before if name != "GNN"]
    chosen.get_by_role("button", name="none").press("Enter")
    assert table.evaluate(seen) == ["Further methods"]
    chosen.get_by_role("button", name="all").click()
    assert table.evaluate(seen) == before


def test_columns_are_shaded_from_best_to_worst(desktop: Opened) -> None:
    table = desktop.page.locator("article.table > .box table").first
    shade = "t => [...t.tBodies].flatMap(b => [...b.rows]).map(r => [r.cells[0].textContent, "
    shade += "...[5, 6, 7].map(n => r.cells[n].style.getPropertyValue('--rank'))])"
    ranks = {name: values for name, *values in table.evaluate(shade)}
    assert ranks["wav2pos"] == ["100%", "", "100%"]  # errors: the lowest; acc@30: the highest
    assert ranks["Centre (floor)"] == ["0%", "", "0%"]
    assert ranks["DI-NN"] == ["", "", ""]


@pytest.mark.parametrize("name", ["report.html", "figures/single_frames.html"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_accessible(browser, page: Path, width: int, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    opened = context.new_page()
    opened.goto((page.parent / name).as_uri())
    found = axe.run(opened).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    context.close()


def test_view_in_three_dimensions(desktop: Opened) -> None:
    view = desktop.view()
    pictures = [view.screenshot()]
    for act in (
        lambda: desktop.page.locator("#view-methods").get_by_label("Centre (floor)").check(),
        lambda: desktop.page.get_by_label("Moment").fill("30"),
    ):
        act()
        desktop.page.wait_for_timeout(500)
        pictures.append(view.screenshot())
    assert len(set(pictures)) == 3
    known = "trace.x.filter(value => value !== null).length"
    drawn = view.evaluate(f"view => view.data.map(trace => [trace.name, {known}])")
    assert ["microphone", 11] in drawn
    assert ["ground truth", 40] in drawn
    assert ["Multilat", 36] in drawn  # four failed
    assert "Multilat (36 of 40)" in desktop.page.locator("#view-methods").inner_text()
    assert desktop.page.locator("#view-moment").inner_text() == "2.92 s"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_on_a_phone(browser, page: Path, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme=scheme, offline=True
    )
    opened = Opened(context, page)
    opened.view()
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    colours = "['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])"
    ink, paper = (sum(map(int, re.findall(r"\d+", c))) for c in opened.page.evaluate(colours))
    assert (ink > paper) == (scheme == "dark")
    assert abs(ink - paper) > 500
    assert_quiet(opened, page)
    context.close()


def test_nothing_is_asked_of_a_network(desktop: Opened, page: Path) -> None:
    desktop.view()
    assert_quiet(desktop, page)


def test_single_frames_are_reached_by_a_link(browser, page: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    opened = Opened(context, page)
    opened.page.get_by_role("link", name="Single frames", exact=True).last.press("Enter")
    opened.page.wait_for_url("**/single_frames.html")
    frames = page.parent / "figures" / "single_frames.html"
    assert opened.page.locator("h1").inner_text() == "Single frames"
    opened.page.locator("img").last.scroll_into_view_if_needed()
    opened.page.wait_for_function("[...document.images].at(-1).naturalWidth > 1000")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert opened.complaints == []
    asked = {url for url in opened.requests if not url.startswith("data:")}
    assert asked == {page.as_uri(), frames.as_uri()}
    context.close()


def assert_quiet(opened: Opened, page: Path) -> None:
    assert opened.complaints == []
    asked = {url for url in opened.requests if not url.startswith("data:")}
    assert asked == {page.as_uri()}
