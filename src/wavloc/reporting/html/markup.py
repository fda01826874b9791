"""Pieces of HTML: escaped text, sortable tables, Markdown."""

import functools
import html
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token


def asset(name: str) -> str:
    """Content of a style sheet or script of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def text(value: Any) -> str:
    """Any value as escaped text, also inside a quoted attribute."""
    return html.escape(str(value))


def anchor(name: str) -> str:
    """A heading as the identifier that links point to."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def scrolling(content: str, name: str, kind: str = "box") -> str:
    """Content that may be wider than the page, in a frame that scrolls (by keyboard as well)."""
    return (
        f'<div class="{kind}" role="region" aria-label="{text(name)}" tabindex="0">{content}</div>'
    )


def table(
    name: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], numeric: Iterable[int] = ()
) -> str:
    """Sortable table of plain values; ``numeric`` columns are aligned right, long texts wrap."""
    right = set(numeric)

    def line(tag: str, values: Sequence[Any]) -> str:
        cells = ""
        for number, value in enumerate(map(str, values)):
            kind = " class=n" if number in right else " class=long" if len(value) > 60 else ""
            cells += f"<{tag}{kind}>{text(value)}</{tag[:2]}>"
        return f"<tr>{cells}</tr>"

    head, body = line('th scope="col"', heads), "".join(f"{line('td', row)}\n" for row in rows)
    return scrolling(f"<table><thead>{head}</thead>\n<tbody>{body}</tbody></table>", name)


def folded(summary: str, content: str) -> str:
    """Content that is shown on demand."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def markdown(source: str, lower: int = 1) -> str:
    """Markdown with pipe tables as HTML. Markup in it stays text, but for footnote letters.

    Headings go down by ``lower`` levels. A table row with nothing but its first cell begins a new
    part of the table; sorting keeps the parts.
    """
    tokens = _parser().parse(source)
    for number, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + lower, 6)}"
        if token.type == "tr_open" and tokens[number + 1].type == "td_open":
            cells = [cell.content for cell in _row(tokens, number) if cell.type == "inline"]
            token.meta["part"] = bool(cells[0]) and not any(cells[1:])
    made = _parser().renderer.render(tokens, _parser().options, {})
    return re.sub(r"&lt;sup&gt;(\w+)&lt;/sup&gt;", r"<sup>\1</sup>", made)


def _row(tokens: Sequence[Token], start: int) -> Sequence[Token]:
    stop = next(n for n in range(start, len(tokens)) if tokens[n].type == "tr_close")
    return tokens[start:stop]


class _Renderer(RendererHTML):
    """As the library's, with tables in the form of `table`."""

    _end: str  # of the open table

    def table_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        heads = [token.content for token in _row(tokens, index) if token.type == "inline"]
        opened, self._end = scrolling("<table>|", f"table: {heads[0]} …").split("|")
        return opened

    def table_close(self, *_: Any) -> str:
        return f"</table>{self._end}\n"

    def th_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        return f'<th scope="col"{_right(tokens[index])}>'

    def td_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        length, right = len(tokens[index + 1].content), _right(tokens[index])
        wraps = " class=long" if length > 60 else " class=short" if length > 22 else ""
        return f"<td{right or wraps}>"

    def tr_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        if not tokens[index].meta.get("part"):
            return "<tr>"
        return (
            '<tr class="rule">'
            if tokens[index - 1].type == "tbody_open"
            else ('</tbody>\n<tbody><tr class="rule">')
        )


def _right(token: Token) -> str:
    return " class=n" if "right" in str(token.attrGet("style")) else ""


@functools.cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
