"""What the digest of code follows."""

from __future__ import annotations

from pathlib import Path

from wavloc import provenance


def test_digest_follows_style_sheets_and_scripts_of_a_package(tmp_path: Path) -> None:
    texts = []
    for name, style in (("a", "p {}"), ("b", "p {}"), ("c", "q {}")):
        package = tmp_path / name / "__init__.py"
        package.parent.mkdir()
        package.write_text(f'"""Package {name}."""\nx = 1  # a comment\n')
        (package.parent / "page.css").write_text(style)
        texts.append(provenance._parsed(package)[0])
    assert texts[0] == texts[1]  # docstrings and comments do not count
    assert texts[0] != texts[2]
