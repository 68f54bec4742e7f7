"""The rule by which notebooks are compared: what it forgives, what it must not, and that nbval obeys it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.comparison import Exact, Printed, changes

ROOT = Path(__file__).parent.parent

ALIKE = [
    ("accuracy 0.874 (0.002)", "accuracy 0.873 (0.003)"),
    ("   9.99 of", "  10.00 of"),
    ("a  -9.99", "a -10.00"),
    ("array([0.25, 0.50])", "array([0.26, 0.49])"),
    ("off by 9.99e-16", "off by 1.00e-15"),
    (".892", ".893"),
    ("12.5% of 40", "12.4% of 40"),
    ("torch.Size([4, 3])\n0.5", "torch.Size([4, 3])\n0.6"),
]
DIFFERENT = {
    "two units": ("accuracy 0.874", "accuracy 0.876"),
    "a whole number": ("8 seeds, 0.5", "9 seeds, 0.5"),
    "a shape": ("torch.Size([4, 3])", "torch.Size([4, 4])"),
    "another word": ("better by 0.5", "worse by 0.5"),
    "a missing number": ("0.5 0.6", "0.5"),
    "one more": ("0.5", "0.5 0.5"),
    "another sign": ("-0.01", "0.01"),
    "the sign of nothing": ("-0.00", "0.00"),
    "not a number": ("0.5", "nan"),
    "infinity": ("loss 0.5", "loss inf"),
    "a reordered table": ("four 0.88\nmemory 0.90", "memory 0.90\nfour 0.88"),
    "reordered columns": ("0.88 0.90", "0.90 0.88"),
    "another place": ("0.50", "0.5"),
    "another exponent": ("1.0e-05", "1.0e-06"),
    "a version": ("3.11.2", "3.11.3"),
    "a name": ("x0.5", "x0.6"),
    "a line": ("0.5\n", "0.5\n\n"),
}


@pytest.mark.parametrize(("stored", "new"), ALIKE)
def test_last_places_may_differ_by_one_unit(stored, new):
    assert Printed(stored) == Printed(new)
    assert (Printed(stored) != Printed(new)) is False
    assert Exact(stored) != Exact(new)


@pytest.mark.parametrize("what", DIFFERENT)
def test_nothing_else_may(what):
    stored, new = map(Printed, DIFFERENT[what])
    assert stored != new and new != stored and (stored == new) is False


@given(value=st.integers(0, 10**6), places=st.integers(1, 5), units=st.integers(-3, 3))
def test_a_difference_in_units(value, places, units):
    stored, new = (f"is {max(v, 0) / 10**places:.{places}f} long" for v in (value, value + units))
    assert (Printed(stored) == Printed(new)) == (abs(max(value + units, 0) - value) <= 1)


@given(st.text())
def test_a_text_equals_itself(text):
    assert Printed(text) == Printed(text) and changes(Printed(text), Printed(text)) == []


def test_a_change_is_named_line_by_line():
    stored, new = "one 0.5\ntwo 0.50\nthree 0.7", "one 0.6\ntwo 0.53\nthree 0.7"
    assert changes(Printed(stored), Printed(new)) == ["line 2", "  stored: two 0.50", "  now:    two 0.53"]
    assert changes(Exact(stored), Exact(new))[:3] == ["line 1", "  stored: one 0.5", "  now:    one 0.6"]
    assert changes(Printed("a"), Printed("a\nb"))[0] == "1 lines became 2"


# With nbval


def printing(*texts: str) -> nbformat.NotebookNode:
    """A notebook whose cells print pairs of texts: what is stored, and what the source prints now."""
    cells = []
    for number, (stored, now) in enumerate(texts, 1):
        output = new_output("stream", name="stdout", text=stored + "\n")
        cells.append(new_code_cell(f"print({now!r})", execution_count=number, outputs=[output]))
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess:
    plugins = ["-p", "tools.comparison", "-p", "tools.jitter", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), *plugins]
    command += ["-rA", "--color=no", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def failed_cells(run: subprocess.CompletedProcess) -> list[int]:
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return sorted({int(cell) for cell in re.findall(r"^FAILED \S+::Cell (\d+)", run.stdout, re.MULTILINE)})


def test_nbval_obeys(tmp_path):
    pairs = [("0.50 a", "0.51 a"), ("0.50 a", "0.52 a"), ("7 a", "8 a"), ("0.50 a", "0.50 b"), ("a", "a")]
    nbformat.write(printing(*pairs), tmp_path / "pairs.ipynb")
    run = run_pytest(tmp_path)
    assert failed_cells(run) == [1, 2, 3], run.stdout
    assert "stored: 0.50 a\n    now:    0.52 a" in run.stdout
    assert failed_cells(run_pytest(tmp_path, "--nbval-exact")) == [0, 1, 2, 3]


def test_pictures_are_not_compared_and_what_stands_beside_them_is(tmp_path):
    source = "from IPython.display import display\n" + (
        "display({'image/svg+xml': '<svg>NOW</svg>', 'text/plain': 'SAID'}, raw=True)"
    )
    stored = {"image/svg+xml": "<svg/>", "application/vnd.icl-nb.narrow+svg": "<svg/>", "text/plain": "a figure"}
    cells = [
        new_code_cell(
            source.replace("SAID", said), execution_count=number, outputs=[new_output("display_data", dict(stored))]
        )
        for number, said in enumerate(("a figure", "another"), 1)
    ]
    notebook = printing()
    notebook.cells = cells
    nbformat.write(notebook, tmp_path / "drawn.ipynb")
    assert failed_cells(run_pytest(tmp_path)) == [1]


JITTERED = {
    "stable": "print(f'{LinearTask().sample(50, seed=0).x.mean():.2f}')",
    "words": "print('all there:', bool(load('four-0').m.isfinite().all()))",
    "digits of a sample": "print(f'{LinearTask().sample(50, seed=0, dtype=torch.float64).x.mean().item():.17f}')",
    "digits of a checkpoint": "print(f'{load(\"four-0\", dtype=torch.float64).m.mean().item():.17f}')",
    "digits of Part II": "print(f'{MarkovTask().sample(5).kernel.square().sum().item():.17f}')",
    "decided by rounding": "print(round(LinearTask().sample(50, seed=0).x.double().sum().item() * 1e9) % 1000)",
}


def test_jitter_finds_what_rounding_decides(tmp_path):
    """Executed first, so that what is stored is what this machine gives; then only the unstable cells may fail."""
    source = "import torch\nfrom icl_nb import LinearTask, MarkovTask, load"
    notebook = new_notebook(cells=[new_code_cell(source), *map(new_code_cell, JITTERED.values())])
    nbformat.write(NotebookClient(notebook).execute(), tmp_path / "cells.ipynb")
    assert failed_cells(run_pytest(tmp_path)) == []
    shutil.copy(tmp_path / "cells.ipynb", tmp_path / "again.ipynb")
    run = run_pytest(tmp_path, "--jitter", "0")
    unstable = [number for number, name in enumerate(JITTERED, 1) if name.startswith(("digits", "decided"))]
    assert failed_cells(run) == unstable, run.stdout
    # Where the variable CI is set, pytest's summary says again what the failures said.
    failures = run.stdout.partition("short test summary info")[0]
    found = re.findall(r"^    now:    (.*)", failures, re.MULTILINE)
    once, again = found[: len(unstable)], found[len(unstable) :]
    assert len(once) == len(unstable) and once == again  # seeded


def test_jitter_refuses_a_seed_that_is_none(tmp_path):
    run = run_pytest(tmp_path, "--jitter", "-1")
    assert run.returncode == 4 and "a seed is 0 or more" in run.stderr
