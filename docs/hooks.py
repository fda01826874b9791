"""What the site has beside the pages of docs: files of the project's root, commands, Python.

mkdocs.yml names this file. A link of a page that leaves docs leads to the page made of that file,
or else is shown as the path that it is.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import cards
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from wavloc import cli
from wavloc.errors import InputError

ROOT = Path(__file__).parents[1]
COPIED = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "config.md": "config/README.md",
}
# What a program or a plugin is written against.
PYTHON = {
    "Interface": ["wavloc.api"],
    "Containers": ["wavloc.frames", "wavloc.methods.predictions", "wavloc.setups"],
    "Plugins": ["wavloc.methods.base", "wavloc.datasets.base"],
    "Scoring": ["wavloc.evaluation", "wavloc.evaluation.metrics", "wavloc.evaluation.bootstrap"],
}
LINK = re.compile(r"\[([^\]\n]+)\]\(((?!https?:)[^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {name: (ROOT / source).read_text("utf-8") for name, source in COPIED.items()}
    for name, source in COPIED.items():
        pages[name] = _relinked(pages[name], (ROOT / source).parent, _titles(config["nav"]))
    for name, text in (pages | {"cli.md": commands(), "python.md": _python()}).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Links out of docs lead to pages of the site; methods and datasets have their cards."""
    if page.file.generated_by:
        return markdown
    text = _relinked(markdown, ROOT / "docs", _titles(config["nav"]))
    try:
        return cards.filled(text, page.file.src_uri)
    except InputError as error:
        raise PluginError(str(error)) from None


def _titles(nav: list[dict[str, Any]]) -> dict[str, str]:
    """File of each page -> its title in the navigation."""
    found: dict[str, str] = {}
    for title, below in (item for part in nav for item in part.items()):
        found |= {below: title} if isinstance(below, str) else _titles(below)
    return found


def _relinked(text: str, folder: Path, titles: dict[str, str]) -> str:
    """Links of Markdown that lies in a folder, as links of a page of docs.

    A link that is named by its file gets the title of the page.
    """
    made = {ROOT / source: name for name, source in COPIED.items()}

    def new(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        page = made.get(target)
        if target.is_relative_to(ROOT / "docs"):
            page = str(target.relative_to(ROOT / "docs"))
        if page:
            by_file = match[1].rpartition("/")[2] == target.name
            label = titles.get(page, match[1]) if by_file else match[1]
            return f"[{label}]({page}{match[3] or ''})"
        if not target.exists():
            return match[0]  # which the build then complains about
        return f"{match[1]} (`{target.relative_to(ROOT)}`)"

    return LINK.sub(new, text)


def commands() -> str:
    """The reference of the command line, from its parsers."""
    parser = cli._parser()
    (sub,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [
        "# Commands",
        "Each has also `--config FILE` (a run's `plan.json` or a config file: seed, methods, "
        "datasets, sizes), `--seed`, `--log FILE` and `--debug`. In brackets: the default.",
    ]
    for title, names in cli.GROUPS.items():
        parts.append(f"## {title.capitalize()}")
        parts += [_command(name, sub.choices[name]) for name in names]
    return "\n\n".join(parts) + "\n"


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    common = {"help", "config", "seed", "log", "debug"}
    shown = [action for action in parser._actions if action.dest not in common]
    rows = [f"| {_spelled(action)} | {_cell(action.help or '')} |" for action in shown]
    table = "\n".join(["| argument | |", "|---|---|", *rows]) if rows else "No arguments."
    said = (parser.description or "").strip()
    return f"### wavloc {name}\n\n{said[:1].upper()}{said[1:]}.\n\n{table}"


def _spelled(action: argparse.Action) -> str:
    """``--option VALUE``, with a note where it must be there."""
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices is not None and action.metavar is None:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    values = value if isinstance(value, str) else " ".join(value)
    if isinstance(action, argparse._StoreTrueAction):
        values = ""
    elif action.nargs in ("+", "*"):
        values += " ..."
    name = " ".join(filter(None, [", ".join(action.option_strings), values]))
    needed = " (required)" if action.required and action.option_strings else ""
    return f"`{_cell(name)}`{needed}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("%%", "%")


def _python() -> str:
    """Directives that draw the docstrings of modules, as far as they are there."""
    parts = ["# Python", "Metres, seconds and hertz throughout; arrays as their docstrings say."]
    for modules in PYTHON.values():
        parts += [f"::: {module}" for module in modules]
    return "\n\n".join(parts) + "\n"
