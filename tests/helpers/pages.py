"""Pages of the documentation, followed to the letter."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from helpers.workflow import environment

FILE = re.compile(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def all_pages(root: Path) -> list[Path]:
    """What a user reads: the README, the pages of docs, those of the examples."""
    folders = (root / "docs", root / "examples/method-package")
    listed = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    return [root / "README.md", root / "CONTRIBUTING.md", *listed]


def shown(text: str) -> list[str]:
    """Lines of the blocks of commands of a page."""
    blocks = [block for language, block in BLOCK.findall(text) if language in ("", "sh")]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


def steps(line: str) -> list[list[str]]:
    """The words of each command of a line, without comments; ``nice`` and ``...`` left out."""
    parts: list[list[str]] = [[]]
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&")
    lexer.whitespace_split = True
    for word in lexer:
        if word in ("|", "&&"):
            parts.append([])
        elif (word := word.removesuffix("...")) and word != "nice":
            parts[-1].append(word)
    return parts


def named(text: str) -> list[list[str]]:
    """Commands that the sentences of a page name, such as `make help`; maybe only a part of one."""
    spans = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    return [words for span in spans if (words := span.replace("...", "").split())]


class Reader:
    """Somebody who writes the files of a page and types its commands in a folder of wavloc."""

    def __init__(self, page: Path, folder: Path):
        self.folder = folder
        page_text = page.read_text(encoding="utf-8")
        for name, content in FILE.findall(page_text):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.commands = shown(page_text)
        # pip puts the package into a folder of this test, never into the shared environment.
        packages = folder / "packages"
        search = [str(packages), os.environ.get("PYTHONPATH", "")]
        self.environment = environment() | {
            "PYTHONPATH": os.pathsep.join(filter(None, search)),
            "PIP_TARGET": str(packages),
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is none
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def type(self, begin: str, *options: str) -> list[str]:
        """Run the commands that begin so, in order, and return what they say."""
        found = [shlex.split(line) for line in self.commands if line.startswith(begin)]
        assert found, f"the page has no command '{begin}'"
        return [self.run(program, *options, *words) for program, *words in found]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout + done.stderr
