"""What the digest of code follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavloc import provenance


@pytest.mark.parametrize("file", ["page.css", "page.js", "page.html"])
def test_digest_follows_other_files_of_a_package(tmp_path: Path, file: str) -> None:
    texts = []
    for name, style in (("a", "p {}"), ("b", "p {}"), ("c", "q {}")):
        package = tmp_path / name / "__init__.py"
        package.parent.mkdir()
        package.write_text(f'"""Package {name}."""\nx = 1  # a comment\n')
        (package.parent / file).write_text(style)
        texts.append(provenance._parsed(package)[0])
    assert texts[0] == texts[1]  # docstrings and comments do not count
    assert texts[0] != texts[2]


@pytest.mark.parametrize("name", ["weights/located.json", "located.json"])
def test_digest_follows_what_was_fitted_for_a_module(tmp_path: Path, name: str) -> None:
    texts = []
    for folder, card in (("a", "{}"), ("b", "{}"), ("c", '{"calibration": [1, 0, 0]}')):
        module = tmp_path / folder / "located.py"
        (module.parent / "weights").mkdir(parents=True)
        module.write_text("x = 1\n")
        (module.parent / name).write_text(card)
        texts.append(provenance._parsed(module)[0])
    assert texts[0] == texts[1] != texts[2]
