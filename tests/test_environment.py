"""The three lists of packages agree, and data flows one way."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import yaml

import wavloc

# Left to right; a stage may import from its left and from the ground, never from its right.
STAGES = [
    *("datasets", "simulation", "features", "training", "methods", "checkpoints"),
    *("checking", "evaluation", "reporting", "plan", "jobs", "tracked", "recordings", "own_room"),
    "api",
]


def pins(path: Path) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    pinned = [line for line in lines if line and not line.startswith("-r ")]
    return dict(line.lower().replace("_", "-").split("==") for line in pinned)


def test_lock_holds_everything_that_is_asked_for(root: Path) -> None:
    asked, locked = pins(root / "requirements.in"), pins(root / "requirements.txt")
    assert {name: locked.get(name) for name in asked} == asked
    assert all("+" not in version for version in locked.values())


def test_lock_of_tools_goes_over_the_lock(root: Path) -> None:
    asked, tools = pins(root / "requirements-tools.in"), pins(root / "requirements-tools.txt")
    assert {name: tools.get(name) for name in asked} == asked
    assert not tools.keys() & pins(root / "requirements.txt").keys()
    assert "-r requirements.txt" in (root / "requirements-tools.txt").read_text().splitlines()


def test_citation_and_codemeta_say_what_the_package_says(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    described = json.loads((root / "codemeta.json").read_text(encoding="utf-8"))
    assert cited["version"] == described["version"] == wavloc.__version__
    assert described["description"] == project["description"]
    assert described["license"].endswith(f"/{project['license']}")
    assert cited["license"] == project["license"]
    assert cited["keywords"] == described["keywords"]
    assert [a["name"] for a in described["author"]] == [a["name"] for a in cited["authors"]]
    papers = {paper["url"]: paper["name"] for paper in described["referencePublication"]}
    assert papers == {paper["url"]: paper["title"] for paper in cited["references"]}
    wanted = set(project["dependencies"]) | {f"Python{project['requires-python']}"}
    assert set(described["softwareRequirements"]) <= wanted
    named = [described[key] for key in ("continuousIntegration", "readme", "releaseNotes")]
    assert all((root / name).is_file() for name in [*named, described["softwareHelp"]["url"]])


def test_pyproject_fits_the_lock(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = pins(root / "requirements.in")
    wanted = [
        *project["dependencies"],
    ]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = set()
    for requirement in wanted:
        name, relation, bound = re.fullmatch(r"([\w.-]+)(>=|==)([\d.]+)", requirement).groups()
        names.add(name.lower())
        have = [int(part) for part in re.findall(r"\d+", asked[name.lower()])]
        need = [int(part) for part in re.findall(r"\d+", bound)]
        assert have == need if relation == "==" else have >= need, requirement
    assert names == set(asked)


def test_environment_yml_is_thin(root: Path) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text())
    python, pip, pip_lines = environment["dependencies"]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert python == "python=" + project["requires-python"].removeprefix(">=")
    assert pip == "pip"
    assert pip_lines == {"pip": ["-r requirements.txt", "-e ."]}


def test_data_flows_one_way(root: Path) -> None:
    source = root / "src" / "wavloc"
    wrong = []
    for path in sorted(source.rglob("*.py")):
        place = path.relative_to(source).parts[0].removesuffix(".py")
        if place in ("cli", "__init__"):  # the two doors
            continue
        allowed = STAGES.index(place) if place in STAGES else -1
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if names == ["wavloc"]:
                names = [f"wavloc.{alias.name}" for alias in node.names]
            for name in names:
                stage = name.split(".")[1] if name.startswith("wavloc.") else ""
                if stage in STAGES and STAGES.index(stage) > allowed:
                    wrong.append(f"{path.relative_to(root)} imports {name}")
    assert wrong == []
