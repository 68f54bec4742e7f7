"""Change the code in one small way at a time, and say which changes no test of the file notices.

Use it through `make mutants`. It works on copies under _build/mutants, one a file, with the tests of that file alone;
broken off, it goes on where it was. A mutant that survives must stand in tests/mutants.yml, with the reason why no test
should kill it, and one that stands there must survive.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "_build" / "mutants"
ACCEPTED = ROOT / "tests" / "mutants.yml"

# What is mutated: the formulas that the book stands on. The first copies of them that a reader meets come first.
FILES = {
    "icl_nb/recursion.py": ("tests/test_recursion.py", "tests/test_memory.py"),
    "icl_nb/induction/limit.py": ("tests/induction/test_limit.py",),
    "icl_nb/interpret/separation.py": ("tests/interpret/test_separation.py",),
    "icl_nb/interpret/rivals.py": ("tests/interpret/test_rivals.py",),
    "icl_nb/evaluation/oracle.py": ("tests/evaluation/test_oracle.py",),
}

# Hypothesis tries ten examples instead of a hundred: what survives that is tried again by hand. The test left out reads
# the imports of the source, to which mutmut adds its own.
OPTIONS = ["--hypothesis-profile=quick", "--deselect=tests/test_recursion.py::test_stands_alone"]

CONFIG = """
[tool.pytest.ini_options]
addopts = ["--strict-config", "--strict-markers", "--import-mode=importlib", "-p", "no:cacheprovider"]
filterwarnings = ["error"]

[tool.mutmut]
source_paths = ["icl_nb"]
only_mutate = [{file!r}]
pytest_add_cli_args = {options}
pytest_add_cli_args_test_selection = [{tests}]
# Texts that only a reader sees: what is wrong with an argument is tested by its kind, not by its words.
do_not_mutate_patterns = ['raise \\w+']
track_dependencies = false
use_git_change_detection = false
"""


def copy_to(folder: Path, file: str) -> None:
    """The package and its tests as they are now; what mutmut found out about unchanged functions stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("icl_nb", "tests"):
        shutil.rmtree(folder / part, ignore_errors=True)
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    # mutmut mutates the file anew where it is younger than its mutants, and copies nothing that is there already.
    for old in (folder / "mutants").rglob("*"):
        if old.is_file() and not str(old.relative_to(folder / "mutants")).startswith((file, "mutmut-")):
            old.unlink()
    tests = ", ".join(repr(test) for test in FILES[file])
    (folder / "pyproject.toml").write_text(CONFIG.format(file=file, tests=tests, options=OPTIONS), encoding="utf-8")


def run(folder: Path, file: str) -> int:
    """mutmut writes the mutants and finds out which tests reach them; the mutants are then tried by `mutant_loop`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TQDM_DISABLE": "1"}
    environment.pop("PYTHONPATH", None)  # mutmut puts the mutants first
    first = [Path(sys.executable).with_name("mutmut"), "run", "--max-children", "1", "*__mutmut_1"]
    if code := subprocess.run(first, cwd=folder, env=environment, check=False).returncode:
        return code
    shutil.copy(ROOT / "tools" / "mutant_loop.py", folder)
    environment |= {"MUTATED": file, "PYTHONPATH": f"{folder / 'mutants'}{os.pathsep}{folder}"}
    tests = [f"mutants/{path}" for path in FILES[file]]
    options = [*OPTIONS, "-q", "--rootdir=mutants", "--config-file=mutants/pyproject.toml"]
    command = [sys.executable, "-P", "-m", "pytest", "-p", "mutant_loop", *options, *tests]
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code


def outcomes(folder: Path, file: str) -> dict[str, list[dict]]:
    """What became of the mutants, `{status: [{function, change}, ...]}`; asked of mutmut where its files lie."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    os.chdir(folder)
    data = SourceFileMutationData(path=Path(file))
    data.load()
    found: dict[str, list[dict]] = {}
    for name, code in data.exit_code_by_key.items():
        status = status_by_exit_code[code]
        mutants = found.setdefault(status, [])
        if status == "killed":
            mutants.append({})
            continue
        lines = [line for line in get_diff_for_mutant(name, path=Path(file)).splitlines()[2:] if line[:1] in "+-"]
        function = name.rpartition(".")[2].removeprefix("x_").removeprefix("xǁ").partition("__mutmut")[0]
        change = "\n".join(line[0] + " " + " ".join(line[1:].split()) for line in lines)
        mutants.append({"function": function.replace("ǁ", "."), "change": change})
    return found


def compare(file: str, found: dict[str, list[dict]], accepted: list[dict]) -> list[str]:
    """What is wrong with the mutants of a file: nobody noticed one, or one that was accepted is noticed.

    One that took too long counts as noticed, and may be accepted as well: a busy machine may be all that is behind it.
    """
    known = {(one["function"], one["change"].strip()) for group in accepted for one in group["mutants"]}
    by_status = {status: {(one["function"], one["change"]) for one in found[status] if one} for status in found}
    slow = by_status.pop("timeout", set())
    left = set().union(*by_status.values())
    unknown = [f"{file}: nobody notices, in {function}:\n{change}" for function, change in sorted(left - known)]
    gone = sorted(known - left - slow)
    return unknown + [f"{file}: no survivor any more, in {name}:\n{change}" for name, change in gone]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", default=list(FILES), help=f"some of {', '.join(FILES)}; all by default")
    wrong = []
    for file in parser.parse_args().files:
        folder = RESULTS / Path(file).stem
        copy_to(folder, file)
        if code := run(folder, file):
            sys.exit(f"{file}: mutmut ended with {code}")
        found = outcomes(folder, file)
        print(f"{file}: {', '.join(f'{len(mutants)} {status}' for status, mutants in found.items())}")
        if left := len(found.get("not checked", [])):
            sys.exit(f"{file}: {left} mutants were not tried; run it again")
        wrong += compare(file, found, yaml.safe_load(ACCEPTED.read_text(encoding="utf-8")).get(file, []))
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
