"""The page of a located recording: all that is known, from nowhere else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.recordings import MICS, write_mics, write_sound
from wavloc import cli
from wavloc.reporting.html import located

NAMES = [f"mic <{k}>" for k in range(len(MICS))]
ABOUT = {"method": "steered", "recording": "9 s"}


def table(rows: int = 50) -> pd.DataFrame:
    time_s = 0.064 * np.arange(rows)
    made = pd.DataFrame({"time_s": time_s, "x": 1 + time_s, "y": 2.0, "z": 1.5, "status": "ok"})
    made["confidence"], made["speed"] = 0.9, 1.0
    made[["sigma_x", "sigma_y", "sigma_z"]] = 0.05
    made.loc[10:12, ["x", "y", "z", "confidence", "sigma_x", "sigma_y", "sigma_z"]] = np.nan
    made.loc[10:12, "status"] = "silent"
    made.loc[20, "status"] = "uncertain"
    return made


def write(out: Path, found: pd.DataFrame, **changed: object) -> str:
    agree = np.full((len(found), len(MICS)), 0.95)
    agree[:, 2] = 0.1
    given = {"table": found, "reliability": agree, "names": NAMES, "mics": MICS, "about": ABOUT}
    located.write(out, **(given | {"warnings": ["<b> is dead"]} | changed))
    return out.read_text(encoding="utf-8")


def test_everything_is_on_the_page_and_nothing_elsewhere(tmp_path: Path) -> None:
    text = write(tmp_path / "p.html", table())
    assert not re.search(r"(?:src|href)=(?![\"']?data:)|url\(|@import|https?://|fetch\(", text)
    assert "mic &lt;0&gt;" in text
    assert "mic <0>" not in text
    assert "&lt;b&gt; is dead" in text
    assert "46 ok" in text
    assert "3 silent" in text
    views = re.findall(r'<svg viewBox.*?role="img".*?</svg>', text, re.S)
    assert len(views) == 3
    for view in views:
        assert view.count('class="ok"') == 46
        assert view.count('class="uncertain"') == 1
        assert view.count('class="mic"') == len(MICS)
    times = re.findall(r'<svg class="time".*?</svg>', text, re.S)
    assert [re.search('aria-label="(.*?) over', t)[1] for t in times] == [
        "x (m)", "y (m)", "z (m)", "confidence", "speed (m/s)"
    ]  # fmt: skip
    assert [t.count('class="band"') for t in times] == [2, 2, 2, 0, 0]  # around the gap
    rows = text[text.index('class="agreement"') :]
    assert rows[: rows.index("</table>")].count('class="low"') == 50  # of the third microphone
    assert text[text.index('class="rows"') :].count("<tr>") == 51


def test_a_metre_is_equally_long_in_all_views(tmp_path: Path) -> None:
    views = located._views(table(), NAMES, MICS)
    lengths = {
        round(abs(scale.length) / (scale.high - scale.low), 6)
        for view in views
        for scale in (view["across"], view["up"])
    }
    assert len(lengths) == 1
    assert max(view["width"] for view in views) <= 580


def test_outliers_do_not_widen_the_views_and_are_counted(tmp_path: Path) -> None:
    far = table(400)
    far.loc[300, "x"] = 500.0
    text = write(tmp_path / "p.html", far)
    assert "positions are beyond" in text
    assert ">500<" not in text


def test_a_long_table_is_thinned_out_and_said(tmp_path: Path) -> None:
    text = write(tmp_path / "p.html", table(20_000))
    assert "5000 of 20000 rows" in text
    assert "2000 of 20000 rows" in text
    assert len(text) < 5_000_000


@pytest.mark.parametrize("what", ["silent", "events", "one row"])
def test_little_is_no_error(tmp_path: Path, what: str) -> None:
    found = table(3)
    if what == "silent":
        found[["x", "y", "z"]] = np.nan
        found = found.assign(status="silent").drop(columns=["confidence", "speed"])
    if what == "events":
        found = found.rename(columns={"time_s": "begin_s"}).drop(columns=["sigma_x"])
        found.insert(1, "end_s", found["begin_s"] + 0.1)
    if what == "one row":
        found = found.iloc[:1]
    unknown = np.full((len(found), len(MICS)), np.nan)
    text = write(tmp_path / "p.html", found, reliability=unknown)
    assert "<h2>Microphones</h2>" not in text
    assert text.count("<svg") >= 6


def test_the_command_writes_it_beside_the_table(tmp_path: Path, capsys) -> None:
    write_mics(tmp_path / "mics.csv", MICS)
    sound = np.random.default_rng(0).standard_normal((6400, len(MICS))) / 10
    write_sound(tmp_path / "r.wav", sound)
    base = f"locate --method srp_phat --mics {tmp_path}/mics.csv --audio {tmp_path}/r.wav "
    base += f"--out {tmp_path}/p.csv --no-check"
    assert cli.main([*base.split(), "--html", str(tmp_path / "p.html")]) == 0
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<strong>srp_phat</strong>" in text
    assert "0.4 s at 16,000 Hz, 8 microphones" in text
    for name, words in (("p.csv", "expected a name that ends in .html"), ("no/", "cannot write")):
        (tmp_path / "no").mkdir(exist_ok=True)
        assert cli.main([*base.split(), "--html", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium is installed")
def test_it_works_in_a_browser(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    write(tmp_path / "p.html", table())
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900}, offline=True)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto((tmp_path / "p.html").as_uri())
        page.locator("#moment").fill("40")
        assert "2.56 s · ok · x 3.56" in page.locator("#said").text_content()
        marks = page.locator("circle.now")
        assert [marks.nth(k).get_attribute("visibility") for k in range(3)] == ["visible"] * 3
        page.locator("#moment").fill("11")
        assert marks.nth(0).get_attribute("visibility") == "hidden"
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert errors == []
