"""The package is a house: imports run one way, as CONTRIBUTING.md says, and the recursion stands on NumPy alone."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "icl_nb"
MOST_ROOMS, MOST_ARROWS = 20, 50


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(source: str) -> set[str]:
    """The modules of the package that a source imports when it is loaded; not what a function imports when it runs."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("icl_nb"):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & MODULES.keys()) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("icl_nb")}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


GRAPH = {name: imports(path.read_text(encoding="utf-8")) - {name} for name, path in MODULES.items()}
ARROWS = {(room(name), room(target)) for name, targets in GRAPH.items() for target in targets}
ARROWS = {(one, other) for one, other in ARROWS if one != other}
ROOMS = {room(name) for name in MODULES} - {""}
ORDER = re.search(r"^```text\n(checks.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL | re.M)


def written_order() -> list[str]:
    return re.findall(r"\w+", ORDER.group(1))


def backward(arrows: set[tuple[str, str]], order: list[str]) -> set[tuple[str, str]]:
    """Arrows from a room to one that stands after it in the order."""
    place = {name: number for number, name in enumerate(order)}
    return {(one, other) for one, other in arrows if place[other] > place[one]}


def test_the_order_names_every_room():
    assert sorted(written_order()) == sorted(ROOMS - {"__main__"})


def test_imports_run_one_way():
    arrows = {(one, other) for one, other in ARROWS if "__main__" not in (one, other) and "" not in (one, other)}
    assert backward(arrows, written_order()) == set()
    assert len(ROOMS) <= MOST_ROOMS and len(arrows) <= MOST_ARROWS


def test_an_arrow_against_the_order_is_seen():
    assert backward({("cli", "tasks"), ("tasks", "cli")}, ["tasks", "cli"]) == {("tasks", "cli")}
    assert imports("from icl_nb.models import files\nimport icl_nb.cli\n") == {"icl_nb.models.files", "icl_nb.cli"}
    assert imports("def f():\n    from icl_nb.cli import main\n") == set()


def test_no_circle_of_modules():
    order = list(graphlib.TopologicalSorter(GRAPH).static_order())  # a CycleError names the circle
    assert set(MODULES) <= set(order)
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(GRAPH | {"icl_nb.checks": {"icl_nb.cli"}}).static_order())


def test_tests_mirror_the_rooms():
    """A folder of tests is a room, and each of its files is named for a module there."""
    for path in (ROOT / "tests").glob("*/test_*.py"):
        assert f"icl_nb.{path.parent.name}.{path.stem.removeprefix('test_')}" in MODULES, path


def test_the_recursion_needs_numpy_alone():
    code = "import sys, icl_nb.recursion; print({'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "set()"


def test_every_public_name_is_where_it_is_said_to_be():
    code = "import icl_nb; print([name for name in dir(icl_nb) if not hasattr(icl_nb, name)], icl_nb.__version__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.startswith("[] ")
    with pytest.raises(ImportError):
        from icl_nb import nothing  # noqa: F401
