"""Pages of the documentation, followed to the letter."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from helpers.workflow import environment

FILE = re.compile(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who writes the files of a page and types its commands in a folder of wavloc."""

    def __init__(self, page: Path, folder: Path):
        self.folder = folder
        page_text = page.read_text(encoding="utf-8")
        for name, content in FILE.findall(page_text):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.commands = [
            line for block in COMMANDS.findall(page_text) for line in block.split("\n")
        ]
        self.commands = [line for line in self.commands if line]
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
