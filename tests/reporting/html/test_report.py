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
from wavloc.reporting.html import markup, training, wins
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
    assert all(load.startswith(("data:image/png;base64,", "data:,", "#")) for load in read.loads)
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
        ("a, 1a, 9 mics", "two", False), ("b, 1a, 9 mics", "one", True),
        ("e, 1a, 9 mics", "one", False),
    ]  # fmt: skip
    first, second, third = wins.sentences(found, labels)
    assert first == "One has the lowest mean error in 2 of 3 comparisons, Two in 1."
    assert second.startswith("In 1 of them")
    assert "2.0 cm (Two; a, 1a, 9 mics) to 10.0 cm (One; b, 1a, 9 mics)" in third
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


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_accessible(browser, page: Path, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    opened = context.new_page()
    opened.goto(page.as_uri())
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


def assert_quiet(opened: Opened, page: Path) -> None:
    assert opened.complaints == []
    asked = {url for url in opened.requests if not url.startswith("data:")}
    assert asked == {page.as_uri()}
