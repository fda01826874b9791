"""The documentation: the page on methods agrees with the entries, the site builds."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from wavloc import cli
from wavloc.methods import registry

ELSEWHERE = re.compile(
    r"<(?:script|link|img)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//", re.IGNORECASE
)


def test_page_on_methods_says_what_their_entries_say(root: Path) -> None:
    text = (root / "docs" / "methods.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `(\w+)` \|" + r" (.*?) \|" * 5, re.MULTILINE)
    rows = {name: cells for name, *cells in row.findall(text)}
    entries = registry.shipped()
    ours = {
        name
        for name, entry in entries.items()
        if entry.localizes
        and not entry.name.startswith(("fault_tolerant_", "wav2pos_", "dinn_"))
        and "_seed" not in name  # the same method again
    } | {"wav2pos_m"}
    assert rows.keys() == ours
    for name, (reference, inputs, learned, counts, delays) in rows.items():
        entry = entries[name]
        assert reference.partition(" ([")[0] == entry.reference, name
        assert inputs == entry.input_types, name
        assert (learned == "yes") == entry.learned, name
        assert (counts == "yes") == entry.variable_mics, name
        assert (delays == "yes") == entry.from_delays, name
        card = re.search(rf"^### `{name}`\n(.*?)^(?:###|What differs)", text, re.M | re.S)
        assert card, name
        assert "**Fails**" in card[1], name


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(root, root, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build(root: Path, project: Path, folder: Path) -> subprocess.CompletedProcess:
    """Build a project as `make docs` does."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("the tools for the site are not installed (make tools)")
    (flags,) = re.findall(r"python -m mkdocs build (.*)", (root / "Makefile").read_text())
    command = [sys.executable, "-m", "mkdocs", "build", *flags.split(), "-d", str(folder)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)


def test_a_link_or_an_anchor_that_is_not_there_stops_the_build(root: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    validation = yaml.safe_load((root / "mkdocs.yml").read_text())["validation"]
    small = {"site_name": "small", "theme": "mkdocs", "validation": validation}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(small))
    page = tmp_path / "docs/index.md"
    page.write_text("# Here\n\n[there](#here)\n")
    assert build(root, tmp_path, tmp_path / "site").returncode == 0
    page.write_text("# Here\n\n[there](nowhere.md) [below](#below)\n")
    done = build(root, tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "'nowhere.md'" in done.stderr
    assert "'#below'" in done.stderr


def test_site_has_every_command_and_the_interface(site: Path) -> None:
    commands = (site / "cli.html").read_text(encoding="utf-8")
    for names in cli.GROUPS.values():
        for name in names:
            assert f">wavloc {name}<" in commands
    assert "wavloc.api.locate" in (site / "python.html").read_text(encoding="utf-8")
    for page in site.glob("*.html"):
        assert not ELSEWHERE.search(page.read_text(encoding="utf-8")), page.name


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        pass


def test_site_asks_nothing_of_a_network_and_no_page_complains(site: Path) -> None:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("no browser is installed")
    from playwright.sync_api import sync_playwright

    complaints, asked = [], []
    handler = functools.partial(Quiet, directory=str(site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        for file in sorted(site.glob("*.html")):
            page.goto(address + file.name)
        browser.close()
        server.shutdown()
    assert complaints == []
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
