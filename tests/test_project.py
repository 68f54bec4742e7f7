"""The house: what is said in two places agrees, and what is promised is there."""

import base64
import doctest
import hashlib
import itertools
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
BUILT = {"_build", "dist", "__pycache__", "venv"}
OPEN_DOT_FOLDERS = {".github", ".ci"}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project_files() -> list[Path]:
    """What a checkout holds, near enough: no built folder, no hidden one but ours."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in OPEN_DOT_FOLDERS for part in parts[:-1])
        if path.is_file() and not hidden and not BUILT & set(parts):
            found.append(path)
    return found


PROJECT = tomllib.loads(text("pyproject.toml"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]]
PIN_LINES = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in PIN_LINES)}
ENVIRONMENT = yaml.safe_load(text("environment.yml"))


def test_pins_are_exact_and_portable():
    assert [line for line in PIN_LINES if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert len(PINS) == len(PIN_LINES) > 100


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_dependency_is_pinned_within_its_range_and_justified(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])
    assert re.search(rf"^\| `{requirement.name}` \| \S", text("CONTRIBUTING.md"), re.MULTILINE)


@pytest.mark.skipif(sys.platform != "linux", reason="the pins are those of Linux; other systems need a few more")
def test_whole_tree_is_pinned():
    """Everything that the dependencies bring in, except what hangs on the build of torch."""
    pending, seen = list(REQUIREMENTS), set()
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        if name != "torch":
            pending += [Requirement(line) for line in metadata.requires(name) or ()]
    assert seen - set(PINS) == set()


def test_environment_yml_agrees_with_pyproject():
    python, pip, nested = ENVIRONMENT["dependencies"]
    assert Requirement("python" + PROJECT["requires-python"]).specifier.contains(python.removeprefix("python="))
    assert pip == "pip"
    index, constraint, editable = nested["pip"]
    assert constraint == "--constraint constraints.txt"
    assert set(re.fullmatch(r"--editable \.\[(.*)\]", editable).group(1).split(",")) <= set(EXTRAS)
    assert f"TORCH_INDEX ?= {index.removeprefix('--extra-index-url ')}\n" in text("Makefile")
    assert ENVIRONMENT["name"] == PROJECT["name"]


def test_version_agrees():
    assert re.search(r"^## (\d\S*)", text("CHANGELOG.md"), re.MULTILINE).group(1) == PROJECT["version"]
    assert metadata.version(PROJECT["name"]) == PROJECT["version"]


def test_repository_is_the_same_everywhere():
    url = PROJECT["urls"]["Repository"]
    assert yaml.safe_load(text("_config.yml"))["repository"]["url"] == url
    owner_and_name = url.removeprefix("https://github.com/")
    # Links to the code, to Colab (colab.research.google.com/github/...) and to Binder (mybinder.org/v2/gh/...).
    link = re.compile(r"(?:github\.com|/github|/gh)/([\w-]+/icl[-_]nb)\b")
    for path in project_files():
        if path.suffix in {".md", ".ipynb", ".yml", ".py", ".toml"}:
            assert set(link.findall(path.read_text(encoding="utf-8"))) <= {owner_and_name}, path


def test_toc_and_files_agree():
    toc = yaml.safe_load(text("_toc.yml"))
    named = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    written = [path.relative_to(ROOT) for path in (ROOT / "book").iterdir() if path.suffix in {".md", ".ipynb"}]
    assert sorted(named) == sorted(path.with_suffix("").as_posix() for path in written)


def test_make_help_lists_every_target():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert targets == set(re.findall(r"^\.PHONY: (\S+)$", text("Makefile"), re.MULTILINE))
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE)) == targets


def test_machines_run_what_people_run():
    ci = [line for line in text(".ci/run").splitlines() if line.startswith("make")]
    assert ci == ["make test", "make book"]
    jobs = yaml.safe_load(text(".github/workflows/book.yml"))["jobs"].values()
    assert sorted(step["run"] for job in jobs for step in job["steps"] if "run" in step) == sorted(ci)


def test_actions_and_hooks_are_pinned():
    uses = re.findall(r"uses: (\S+)", text(".github/workflows/book.yml"))
    assert all(re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", action) for action in uses)
    hooks = {repo["repo"]: repo["rev"] for repo in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]}
    assert hooks["https://github.com/astral-sh/ruff-pre-commit"] == "v" + PINS["ruff"]


def test_vendored_script_is_the_published_one():
    script = (ROOT / "book/_extra/mathjax/tex-svg-full.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() in text("book/_extra/mathjax/ABOUT.txt")


def test_no_file_names_a_machine():
    of_a_machine = re.compile(rb"(?<![\w.:/])/(?:root|home|work|Users)/\w|\bfile:///")
    files = [path for path in project_files() if path.suffix not in {".safetensors", ".png", ".js"}]
    assert [path for path in files if of_a_machine.search(path.read_bytes())] == []


def test_picture_of_the_readme_is_that_of_the_landing_page():
    cells = json.loads(text("book/index.ipynb"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    picture = next(data["image/png"] for data in outputs if "image/png" in data)
    assert (ROOT / "book" / "_static" / "answer.png").read_bytes() == base64.b64decode(picture)


def test_examples_of_the_readme_print_what_it_says():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert result.attempted >= 5
    assert result.failed == 0
