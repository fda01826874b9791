"""Write config/README.md from the schema; with ``--check`` fail when it is out of date."""

import sys
from pathlib import Path

import yaml

CONFIG = Path(__file__).parent.parent / "config"


def rows(schema: dict, path: str = ""):
    for key, part in schema.get("properties", {}).items():
        name = f"{path}{key}"
        kind = " or ".join(map(str, part["enum"])) if "enum" in part else part.get("type", "")
        if part.get("description"):
            shown = part.get("default", "")
            shown = "" if isinstance(shown, dict) else shown
            yield f"| `{name}` | {kind} | {shown} | {part['description']} |"
        yield from rows(part, f"{name}.")


def text() -> str:
    schema = yaml.safe_load((CONFIG / "config.schema.yaml").read_text(encoding="utf-8"))
    head = (
        "# Configuration\n\n"
        "`config.yaml` is the default run; other files state only differences and go over it with\n"
        "`--configfile`; single keys with `--config key=value`. Unknown keys are refused.\n"
        "Options of methods and datasets are the fields of `Options` in their files\n"
        "under `src/wavloc`.\n\n"
        "| key | values | default | meaning |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows(schema)) + "\n"


if __name__ == "__main__":
    target = CONFIG / "README.md"
    if "--check" in sys.argv[1:]:
        sys.exit(target.read_text(encoding="utf-8") != text() and f"{target} is out of date")
    target.write_text(text(), encoding="utf-8")
