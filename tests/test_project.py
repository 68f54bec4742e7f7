"""The house: what is said in two places agrees, and what is promised is there."""

import doctest
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from icl_nb import cli
from tools import address, proofs

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
PINS = [Requirement(line) for line in text("constraints.txt").splitlines() if not line.startswith("#")]
ENVIRONMENT = yaml.safe_load(text("environment.yml"))

# Where the book can be set up, as markers of requirements see it. On Linux the build of torch is that for the CPU.
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
PYTHONS = ("3.11.0", "3.11.2", "3.11.7", "3.12.1", "3.13.0", "3.14.0")
OF_CUDA = re.compile(r"cuda-|nvidia-|triton$")


def pins_of(system: str, python: str) -> dict[str, list[str]]:
    """The pins that hold on a machine: for each name all versions, of which there should be one."""
    pins: dict[str, list[str]] = {}
    for pin in PINS:
        if holds(pin, system, python):
            pins.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    return pins


def holds(requirement: Requirement, system: str, python: str, extra: str = "") -> bool:
    versions = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    here = default_environment() | SYSTEMS[system] | versions | {"extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(here)


def closure(system: str, python: str) -> dict[str, SpecifierSet]:
    """All that the dependencies bring in there, and which versions they take.

    What a package needs is read off the one installed here; of a package that only another system installs, its name
    is all that can be known.
    """
    pending = [(requirement, "") for requirement in REQUIREMENTS]
    seen, allowed = set(), {}
    while pending:
        requirement, extra = pending.pop()
        name = canonicalize_name(requirement.name)
        if not holds(requirement, system, python, extra) or OF_CUDA.match(name):
            continue
        allowed[name] = allowed.get(name, SpecifierSet()) & requirement.specifier
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                pending += [(Requirement(line), wanted) for line in needs_of(name)]
    return allowed


def needs_of(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def test_pins_are_exact_and_portable():
    """A name, a version, perhaps a marker: no local label, address or path, and nothing of one build of torch."""
    line = re.compile(r"[a-z0-9-]+==[\w.]+( ; [\w\s.'<>=!()]+)?")
    pins = [pin for pin in text("constraints.txt").splitlines() if not pin.startswith("#")]
    assert [pin for pin in pins if not line.fullmatch(pin) or OF_CUDA.match(pin)] == []
    assert len(pins) > 100


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_whole_tree_is_pinned_once_on_every_system(system, python):
    pins = pins_of(system, python)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}
    allowed = closure(system, python)
    assert set(allowed) - set(pins) == set()
    refused = [name for name, range_ in allowed.items() if not range_.contains(pins[name][0], prereleases=True)]
    assert refused == []


def test_pins_of_other_systems_were_not_forgotten():
    """What the others need beyond Linux, known by name: a closure that came out alike everywhere would be blind."""
    names = {system: set(closure(system, "3.13.0")) for system in SYSTEMS}
    assert "appnope" in names["macos"] - names["linux"]
    assert {"colorama", "pywinpty"} <= names["windows"] - names["linux"]
    assert "pexpect" in names["linux"] - names["windows"]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin", "win32"), reason="none of the systems that have pins")
def test_pins_are_what_is_installed():
    """The outputs come from the pins; a package that is not here was left out on purpose, or belongs elsewhere."""
    system = {"linux": "linux", "darwin": "macos", "win32": "windows"}[sys.platform]
    pins = pins_of(system, "{}.{}.{}".format(*sys.version_info))
    installed = {}
    for found in metadata.distributions():  # the first on the path counts: setuptools puts copies of its own at the end
        installed.setdefault(canonicalize_name(found.name), found.version.partition("+")[0])
    assert {name: installed[name] for name in pins if name in installed and [installed[name]] != pins[name]} == {}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_dependency_is_justified(requirement):
    assert re.search(rf"^\| `{requirement.name}` \| \S", text("CONTRIBUTING.md"), re.MULTILINE)


def test_python_versions_agree():
    """Package, Makefile, pins and the machines of GitHub speak of the same versions."""
    supported = [
        f"3.{minor}" for minor in range(30) if SpecifierSet(PROJECT["requires-python"]).contains(f"3.{minor}.1")
    ]
    low, high = supported[0], supported[-1]
    pattern = r"^FITS := \((\d+), (\d+)\) <= sys.version_info\[:2\] <= \((\d+), (\d+)\)$"
    fits = re.search(pattern, text("Makefile"), re.MULTILINE).groups()
    assert (".".join(fits[:2]), ".".join(fits[2:])) == (low, high)
    assert f"Python {low} to {high}" in text("README.md")
    assert set(re.findall(r"Python (3\.\d+ to 3\.\d+)", text("Makefile"))) == {f"{low} to {high}"}
    assert {python.rpartition(".")[0] for python in PYTHONS} == set(supported)
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    assert named == set(supported)
    matrix = yaml.safe_load(text(".github/workflows/book.yml"))["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [low, high]


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


# Addresses


@pytest.fixture
def notebooks(tmp_path):
    return [Path(shutil.copy(path, tmp_path)) for path in sorted((ROOT / "book").glob("*.ipynb"))]


SITE, WHEEL = "https://example.org/book", "icl_nb-1.2.3-py3-none-any.whl"


def test_no_file_names_another_address():
    """Links to the code, to Colab (.../github/...) and to Binder (.../gh/...): that of pyproject.toml, or none."""
    repository, _, _ = address.read_project()
    allowed = {repository.removeprefix("https://github.com/")} if repository else set()
    link = re.compile(r"(?:github\.com|/github|/gh)/([\w-]+/icl[-_]nb)\b")
    for path in project_files():
        if path.suffix in {".md", ".ipynb", ".yml", ".py", ".toml"}:
            assert set(link.findall(path.read_text(encoding="utf-8"))) <= allowed, path
    assert not {"repository", "launch_buttons"} & set(yaml.safe_load(text("_config.yml")))


def test_notebooks_fit_the_address(notebooks):
    _, site, wheel = address.read_project()
    assert address.stamp_files(notebooks, site, wheel) == []


def test_stamp_comes_and_goes(notebooks):
    address.stamp_files(notebooks, None, WHEEL)
    before = [path.read_bytes() for path in notebooks]
    assert address.stamp_files(notebooks, None, WHEEL) == []
    assert address.stamp_files(notebooks, SITE, WHEEL) == notebooks
    assert address.stamp_files(notebooks, SITE, WHEEL) == []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert f'"icl-nb @ {SITE}/{WHEEL}"' in cells[0].source
        assert cells[0].metadata.tags == ["remove-cell"]
        numbers = [cell.execution_count for cell in cells if cell.execution_count is not None]
        assert numbers == list(range(1, len(numbers) + 1))
        for cell in cells:
            results = [output for output in cell.outputs if output.output_type == "execute_result"]
            assert all(output.execution_count == cell.execution_count for output in results)
    assert address.stamp_files(notebooks, SITE, WHEEL.replace("3-py", "4-py")) == notebooks
    assert address.stamp_files(notebooks, None, WHEEL) == notebooks
    assert [path.read_bytes() for path in notebooks] == before


def test_cell_for_colab_does_nothing_elsewhere():
    lines = address.COLAB.format(site=SITE, wheel=WHEEL).replace("%pip", "raise AssertionError #")
    exec(lines, {})


def test_buttons_come_with_the_address():
    config = yaml.safe_load(text("_config.yml"))
    assert address.with_buttons(config, None, None) == address.with_buttons(config, None, SITE) == config
    for repository, site, places in (
        ("https://github.com/a/b", SITE, {"binderhub_url", "colab_url"}),
        ("https://github.com/a/b", None, {"binderhub_url"}),  # on Colab the notebook would find no package
        ("https://gitlab.com/a/b", SITE, {"binderhub_url"}),  # Colab opens notebooks of GitHub alone
    ):
        new = address.with_buttons(config, repository, site)
        assert new["repository"]["url"] == repository
        assert set(new["launch_buttons"]) - {"notebook_interface"} == places
        assert new["html"] == config["html"] | {"use_repository_button": True, "use_issues_button": True}
        assert {key: new[key] for key in config if key != "html"} == {k: v for k, v in config.items() if k != "html"}


def test_addresses_are_read_and_checked(tmp_path):
    path = tmp_path / "pyproject.toml"
    head = '[project]\nname = "icl-nb"\nversion = "1.2.3"\n'
    path.write_text(head)
    assert address.read_project(path) == (None, None, WHEEL)
    path.write_text(f'{head}[project.urls]\nRepository = "https://github.com/a/b.git"\nDocumentation = "{SITE}/"\n')
    assert address.read_project(path) == ("https://github.com/a/b", SITE, WHEEL)
    path.write_text(f'{head}[project.urls]\nRepository = "git@github.com:a/b"\n')
    with pytest.raises(ValueError, match=r"Repository in .* no https address"):
        address.read_project(path)


# Packages


def build(target: str, folder: Path) -> Path:
    """A wheel or an sdist of this tree, built as `make book` does."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def test_wheel_holds_the_package_and_is_the_same_each_time(tmp_path):
    first, second = (build("wheel", tmp_path / name) for name in "ab")
    assert first.name == address.read_project()[2]
    assert first.read_bytes() == second.read_bytes()
    names = set(zipfile.ZipFile(first).namelist())
    files = {path.relative_to(ROOT).as_posix() for path in project_files() if "icl_nb" in path.relative_to(ROOT).parts}
    assert {name for name in names if ".dist-info/" not in name} == files
    assert "icl_nb/py.typed" in files
    about = zipfile.ZipFile(first).read(f"icl_nb-{PROJECT['version']}.dist-info/METADATA").decode()
    assert about.startswith("Metadata-Version: 2.4\n")


def test_sdist_holds_what_the_wheel_is_built_from_and_no_more(tmp_path):
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    around = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore", "PKG-INFO"}
    assert {name for name in names if not name.startswith("icl_nb/")} == around


def test_build_backend_is_the_installed_one():
    assert tomllib.loads(text("pyproject.toml"))["build-system"]["requires"] == [
        line for line in EXTRAS["book"] if line.startswith("hatchling")
    ]


# Threads


def test_import_leaves_the_process_alone_and_the_command_takes_one_thread():
    """Where nobody has set the number of threads; the processes that the command starts have one each, too."""
    code = """if True:
        import os
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        import sklearn  # which sets two variables of its own
        import torch
        before = dict(os.environ), torch.get_num_threads()
        from icl_nb import __version__, cli
        assert before == (dict(os.environ), torch.get_num_threads())
        cli.main(["checkpoints", "four-0"])
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            print(__version__, torch.get_num_threads(), pool.submit(torch.get_num_threads).result())"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{PROJECT['version']} 1 1"


def test_command_keeps_the_threads_that_were_asked_for(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cli.main(["checkpoints", "four-0"]) == 0
    assert (asked, os.environ["OMP_NUM_THREADS"]) == ([], "3")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cli.main(["checkpoints", "four-0"]) == 0
    assert (asked, os.environ["OMP_NUM_THREADS"]) == ([1], "1")


# The Makefile


def fake_python(tmp_path: Path, before: str) -> Path:
    """A Python that runs `before` and then what it is asked to; for a folder of its own, of that name."""
    path = tmp_path / "python-fake"
    path.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || exec {sys.executable} "$@"\n'
        f"exec {sys.executable} -c 'import sys; {before}; exec(sys.argv[1])' \"$2\"\n"
    )
    path.chmod(0o755)
    return path


def make_env(python: str | Path, venv: Path) -> subprocess.CompletedProcess:
    """`make env` without an index of packages: it comes as far as making the environment."""
    command = ["make", "-s", "env", f"PYTHON={python}", f"VENV={venv}"]
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_make_refuses_a_python_that_does_not_fit(tmp_path, version):
    python = fake_python(tmp_path, f"sys.version_info = {(*version, 1)}")
    done = make_env(python, tmp_path / "venv")
    said = done.stderr.splitlines()
    assert done.returncode != 0
    assert said[0].startswith("icl-nb needs Python 3.11 to 3.14, and") and "is {}.{};".format(*version) in said[0]
    assert all(line.startswith("make") for line in said[1:])
    assert not (tmp_path / "venv").exists()


def test_make_says_what_is_missing(tmp_path):
    done = make_env("", tmp_path / "venv")
    assert done.stderr.startswith("No Python 3.11 to 3.14 was found;")
    done = make_env(fake_python(tmp_path, 'sys.modules["ensurepip"] = None'), tmp_path / "venv")
    assert "cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv\n" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_make_mends_a_half_made_environment_and_removes_nothing_else(tmp_path):
    half = tmp_path / "half"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", half], check=True)
    assert make_env(sys.executable, half).returncode != 0  # there is nothing to install from
    subprocess.run([half / "bin/python", "-m", "pip", "--version"], check=True, capture_output=True)

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    done = make_env(sys.executable, folder)
    assert "is no virtual environment and has no pip; remove it" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


# The rest


def test_toc_and_files_agree():
    toc = yaml.safe_load(text("_toc.yml"))
    named = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    written = [path.relative_to(ROOT) for path in (ROOT / "book").rglob("*") if path.suffix in {".md", ".ipynb"}]
    assert sorted(named) == sorted(path.with_suffix("").as_posix() for path in written)


def test_make_help_lists_every_target():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert targets == set(re.findall(r"^\.PHONY: (\S+)$", text("Makefile"), re.MULTILINE))
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE)) == targets


def test_machines_run_what_people_run():
    ci = [line for line in text(".ci/run").splitlines() if line.startswith("make")]
    assert ci == [
        "make lint",
        "make test",
        "make book",
        "make browser",
        "make test-portable SETTINGS=distant ARGS=book",
        "make proofs",
    ]
    jobs = yaml.safe_load(text(".github/workflows/book.yml"))["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    installs = [run for run in runs if run.startswith("apt-get")]
    assert sorted(set(runs) - set(installs)) == sorted(ci)
    assert len(installs) == 1 and installs[0].endswith(proofs.PACKAGES)
    assert f'coq="{proofs.PACKAGES}"' in text(".ci/run")


def test_actions_and_hooks_are_pinned():
    uses = re.findall(r"uses: (\S+)", text(".github/workflows/book.yml"))
    assert all(re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", action) for action in uses)
    repos, pins = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"], pins_of("linux", "3.11.7")
    hooks = {repo["repo"]: repo.get("rev") for repo in repos}
    assert hooks["https://github.com/astral-sh/ruff-pre-commit"] == "v" + pins["ruff"][0]
    local = next(repo for repo in repos if repo["repo"] == "local")["hooks"]
    assert [hook["additional_dependencies"] for hook in local] == [[f"ty=={pins['ty'][0]}"]]


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
    picture = next(data["image/svg+xml"] for data in outputs if "image/svg+xml" in data)
    assert text("book/_static/answer.svg") == "".join(picture)


def test_examples_of_the_readme_print_what_it_says():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert result.attempted >= 5
    assert result.failed == 0
