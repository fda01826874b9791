"""Tables in Markdown and LaTeX: like the paper's, escaped, equal bytes from equal data."""

from __future__ import annotations

from helpers.tables import METHODS, SPEC
from wavloc.reporting import tables
from wavloc.reporting.tables.latex import escape, to_latex
from wavloc.reporting.tables.markdown import to_markdown


def test_markdown_reads_like_the_paper(metrics, paper):
    frame = tables.assemble("table1", SPEC, METHODS, metrics, paper)
    text = to_markdown(tables.layout(frame, SPEC, METHODS), SPEC["title"], SPEC["caption"])
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    order = list(rows)
    assert order[2:] == [
        "Multilat",
        "GNN",
        "wav2pos",
        "*Further methods*",
        "SRP_PHAT 100%",
        "oracle",
    ]
    assert "music3 MAE (cm) paper" in rows["Method"]
    assert "38.8" in rows["Multilat"]
    assert "1.2 M" in rows["GNN"]
    assert "340 k" in rows["wav2pos"]
    assert rows["GNN"].count("N/A<sup>a</sup>") == 4
    assert "**14.0 ± 0.5**" in rows["wav2pos"]
    assert "**" not in rows["oracle"]  # a control is never the best
    assert "|  <sup>" not in rows["wav2pos"]
    assert rows["wav2pos"].count("<sup>b</sup>") == 2
    assert "<sup>a</sup> gnn needs at least 12 microphones & &lt;more>" in text
    assert "<sup>b</sup> not computed" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_latex_is_escaped_and_balanced(metrics, paper):
    frame = tables.assemble("table1", SPEC, METHODS, metrics, paper)
    text = to_latex(tables.layout(frame, SPEC, METHODS), "table1", SPEC["caption"])
    assert r"50 \% of A \& B\_1." in text
    assert r"SRP\_PHAT 100\%" in text
    assert r"\& \textless{}more\textgreater{}" in text
    assert r"14.0 $\pm$ 0.5" in text
    assert r"\multicolumn{4}{c}{music3}" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    for name in ("table*", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    assert escape("a\\b^~#$") == (r"a\textbackslash{}b\textasciicircum{}\textasciitilde{}\#\$")


def test_two_writes_give_equal_bytes(metrics, paper, tmp_path):
    for name, order in (("one", 1), ("two", -1)):
        frame = tables.assemble("table1", SPEC, METHODS, metrics[::order], paper)
        tables.write(tmp_path / name, frame, SPEC, METHODS, "Profile test.")
    for suffix in ("csv", "md", "tex"):
        one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
        assert one
    again = tables.read(tmp_path / "one.csv")
    assert again["setup"].eq("1a").all()
    assert "14.0400" in (tmp_path / "one.csv").read_text()
    assert "Profile test." in (tmp_path / "one.md").read_text()
