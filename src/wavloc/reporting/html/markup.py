"""Markdown as HTML in the form of the page: tables scroll, can be sorted and have parts."""

import collections
import functools
import html
import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token


def markdown(source: str, lower: int = 1, title: str = "table") -> str:
    """Markdown with pipe tables as HTML. Markup in it stays text, but for footnote letters.

    Tables are named after the heading above them, or ``title``, each in its own way.

    Headings go down by ``lower`` levels. A table row with nothing but its first cell begins a new
    part of the table; sorting keeps the parts.
    """
    tokens, named = _parser().parse(source), collections.Counter[str]()
    for number, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + lower, 6)}"
        if token.type == "heading_open":
            title = tokens[number + 1].content
        if token.type == "table_open":
            named[title] += 1
            token.meta["name"] = title + f", {named[title]}" * (named[title] > 1)
        if token.type == "tr_open" and tokens[number + 1].type == "td_open":
            cells = [cell.content for cell in _row(tokens, number) if cell.type == "inline"]
            token.meta["part"] = bool(cells[0]) and not any(cells[1:])
    made = _parser().renderer.render(tokens, _parser().options, {})
    return re.sub(r"&lt;sup&gt;(\w+)&lt;/sup&gt;", r"<sup>\1</sup>", made)


def _row(tokens: Sequence[Token], start: int) -> Sequence[Token]:
    stop = next(n for n in range(start, len(tokens)) if tokens[n].type == "tr_close")
    return tokens[start:stop]


class _Renderer(RendererHTML):
    """As the library's, with tables in the form of the macro ``table``.

    A link is its text: the page is one file, and the pages that its sources link to are not in it.
    """

    def link_open(self, *_: Any) -> str:
        return ""

    def link_close(self, *_: Any) -> str:
        return ""

    def table_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        name = html.escape(tokens[index].meta["name"])
        return f'<div class="box" role="region" aria-label="{name}" tabindex="0"><table>'

    def table_close(self, *_: Any) -> str:
        return "</table></div>\n"

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
