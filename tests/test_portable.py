"""The runner of other processors' settings: does it run them, see what fails, and refuse what is not there?"""

import json
import shutil
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import portable


def notebook(stored: str) -> nbformat.NotebookNode:
    """One cell that prints a word of its environment, and what is stored of it."""
    source = "import os\nprint(os.environ.get('MKL_CBWR', 'nothing'), os.environ['OMP_NUM_THREADS'])"
    output = new_output("stream", name="stdout", text=stored + "\n")
    cell = new_code_cell(source, execution_count=1, outputs=[output])
    return new_notebook(cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def believed(setting: portable.Setting) -> dict:
    """What a machine that knows all settings finds, without the seconds that a real probe takes."""
    threads = int(setting.variables.get("OMP_NUM_THREADS", 1))
    return {"openblas": ["Haswell"], "aten": "AVX2", "mkl": True, "numpy": ["AVX2"], "threads": threads}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project with the real configuration, whose only notebook expects MKL's compatible mode."""
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(portable.ROOT / name, tmp_path)
    shutil.copytree(portable.ROOT / "tools", tmp_path / "tools")
    for folder in ("book", "tests"):
        (tmp_path / folder).mkdir()
    shutil.copy(portable.ROOT / "tests" / "nbval.cfg", tmp_path / "tests")
    monkeypatch.setattr(portable, "ROOT", tmp_path)
    monkeypatch.setattr(portable, "BOOK", tmp_path / "book")
    monkeypatch.setattr(portable, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(portable, "RECORD", tmp_path / "book" / "portability.json")
    monkeypatch.setattr(portable, "probe", believed)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    nbformat.write(notebook("COMPATIBLE 1"), tmp_path / "book" / "a.ipynb")
    return tmp_path


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["portable.py", *arguments])
    return portable.main()


def test_a_setting_reaches_the_kernels_and_a_failure_is_named(project, monkeypatch, capsys):
    path = str(project / "book" / "a.ipynb")
    assert call(monkeypatch, "--settings", "mkl-compatible,two-threads", "--record", path) == 1
    printed = capsys.readouterr().out
    assert "a: Cell 0" in printed and "now:    nothing 2" in printed
    rows = json.loads((project / "book" / "portability.json").read_text())
    assert {name: (row["passed"], row["failed"]) for name, row in rows.items()} == {
        "mkl-compatible": (1, 0),
        "two-threads": (0, 1),
    }


def test_what_passed_is_not_run_again_until_a_file_changes(project, monkeypatch):
    arguments = ("--settings", "mkl-compatible", str(project / "book"))
    assert call(monkeypatch, *arguments) == 0
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")  # nothing is started
        assert call(patched, *arguments) == 0
    nbformat.write(notebook("COMPATIBLE 2"), project / "book" / "a.ipynb")
    assert call(monkeypatch, *arguments) == 1
    assert call(monkeypatch, *arguments) == 1  # a failure is not kept as done


def test_settings_that_did_not_take_are_said_to_be_absent(project, monkeypatch, capsys):
    old = {"openblas": ["Haswell"], "aten": "AVX2", "mkl": False, "numpy": [], "threads": 1}
    monkeypatch.setattr(portable, "probe", lambda setting: old)
    path = str(project / "book" / "a.ipynb")
    for name in ("skylakex", "mkl-compatible", "numpy-baseline", "aten-default", "two-threads", "distant"):
        with pytest.raises(SystemExit) as caught:
            call(monkeypatch, "--settings", name, path)
        assert caught.value.code == 2 and f"does not know {name}" in capsys.readouterr().err
    nbformat.write(notebook("nothing 1"), project / "book" / "a.ipynb")
    monkeypatch.setattr(portable, "settings", lambda _: {"zen": SETTINGS["zen"], "skylakex": SETTINGS["skylakex"]})
    assert call(monkeypatch, path) == 0  # asked for all: what can be run is run
    assert "skylakex         not run: this machine does not know it" in capsys.readouterr().out


SETTINGS = portable.settings(["AVX2"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--settings", "pentium"], "no setting pentium; there are prescott"),
        (["book/99-nothing.ipynb"], "99-nothing.ipynb is no notebook"),
        (["README.md"], "README.md is no notebook"),
    ],
)
def test_what_is_not_there_is_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(portable, "probe", believed)
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, *arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_file_that_pytest_cannot_run_is_no_success(project, monkeypatch):
    (project / "book" / "a.ipynb").write_text("{")
    with pytest.raises(RuntimeError, match="pytest ended with"):
        call(monkeypatch, "--settings", "mkl-compatible", str(project / "book"))


def test_probe_sees_what_is_set():
    found = portable.probe(SETTINGS["two-threads"])
    assert (
        found["threads"] == 2
        and SETTINGS["two-threads"].took(found)
        and not SETTINGS["aten-avx2"].took(found | {"aten": "DEFAULT"})
    )
    found = portable.probe(SETTINGS["aten-default"])
    assert found["threads"] == 1 and SETTINGS["aten-default"].took(found)
    with pytest.raises(RuntimeError, match="does not start"):
        portable.probe(portable.Setting({"PYTHONHOME": "nowhere"}))
