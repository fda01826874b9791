"""Tables in Markdown."""

from collections.abc import Sequence

from wavloc.reporting.tables.grid import Cell, Grid


def to_markdown(grid: Grid, title: str, caption: str) -> str:
    """The table under its title and caption, footnotes below."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def show(cell: Cell) -> str:
        text = f"**{cell.text}**" if cell.bold else cell.text
        return text + (f"<sup>{cell.mark}</sup>" if cell.mark else "")

    heads = [" ".join(part for part in head if part not in ("", "ours")) for head in grid.columns]
    aligned = [":--"] + ["--:"] * len(heads)
    body = [line([grid.first, *map(_pipes, grid.properties), *map(_pipes, heads)])]
    body.append(line([*aligned[:1], *[":--"] * len(grid.properties), *aligned[1:]]))
    for number, section in enumerate(grid.sections):
        if number:
            blank = [""] * (len(grid.properties) + len(heads))
            body.append(line(["*Further methods*", *blank]))
        for row in section:
            body.append(line([*map(_pipes, [row.label, *row.properties]), *map(show, row.cells)]))
    notes = [f"<sup>{mark}</sup> {_pipes(text)}  " for mark, text in grid.footnotes]
    parts = [f"## {title}", _pipes(caption), _pipes(grid.constants)]
    parts += ["\n".join(body), "\n".join(notes), _pipes(grid.references)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _pipes(text: str) -> str:
    """Text that cannot break out of a Markdown table cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
