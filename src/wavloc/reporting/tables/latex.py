"""Tables in LaTeX (package booktabs)."""

import itertools
from operator import itemgetter

from wavloc.reporting.tables.grid import Cell, Grid

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "“": "``",
    "”": "''",
} | {character: "\\" + character for character in "&%$#_{}"}


def to_latex(grid: Grid, name: str, caption: str) -> str:
    """The table as a float with the label ``tab:<name>``, footnotes below."""
    lead = 1 + len(grid.properties)
    width = lead + len(grid.columns)

    def show(cell: Cell) -> str:
        text = rf"\textbf{{{escape(cell.text)}}}" if cell.bold else escape(cell.text)
        return text + (rf"\textsuperscript{{{cell.mark}}}" if cell.mark else "")

    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape(' '.join([caption, grid.constants]).strip())}}}",
        rf"\label{{tab:{name}}}",
        r"\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{{'l' * lead}{'r' * len(grid.columns)}}}",
        r"\toprule",
        *_latex_head(grid, lead),
        r"\midrule",
    ]
    for number, section in enumerate(grid.sections):
        if number:
            lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{Further methods}}}} \\"]
        for row in section:
            cells = [*map(escape, [row.label, *row.properties]), *map(show, row.cells)]
            lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [rf"\textsuperscript{{{mark}}}~{escape(text)}" for mark, text in grid.footnotes]
    notes += [escape(grid.references)] if grid.references else []
    if notes:
        lines += [r"\par\smallskip\raggedright\scriptsize", (" \\\\\n").join(notes)]
    return "\n".join([*lines, r"\end{table*}", ""])


def _latex_head(grid: Grid, lead: int) -> list[str]:
    """Header rows: one per level, equal neighbours under a common heading with a thin rule."""
    lines = []
    levels = len(grid.columns[0])
    for level in range(levels):
        last = level == levels - 1
        cells = [grid.first, *map(escape, grid.properties)] if last else [""] * lead
        rules, start = [], lead + 1
        for head, members in itertools.groupby(grid.columns, itemgetter(slice(level + 1))):
            span = len(list(members))
            text = escape(head[-1])
            cells.append(text if last else rf"\multicolumn{{{span}}}{{c}}{{{text}}}")
            rules += [rf"\cmidrule(lr){{{start}-{start + span - 1}}}"] if not last else []
            start += span
        lines += [" & ".join(cells) + r" \\", *(["".join(rules)] if rules else [])]
    return lines


def escape(text: str) -> str:
    """Plain text as LaTeX."""
    return "".join(ESCAPES.get(character, character) for character in text)
