"""The live pictures as Python gives them to a page; what they do there, tests/test_browser.py asks of a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from icl_nb.figures import Explorer
from icl_nb.figures.live import module
from icl_nb.recursion import Recursion
from tools.execute import tidy
from tools.live import renew

X = np.array([[1.0, 0.5], [-1.0, 0.2], [0.3, -1.0], [9.0, -0.004]])
Y = np.array([0, 1, 2])
TABLE = Recursion({"alpha": [[1.0], [0.3]], "beta": 0.5, "gamma": 0, "delta": 1 / 3}, 3, 2.0)
KEPT = Recursion({name: np.full((1, 2, 2, 2), 0.1) for name in ("alpha", "beta", "gamma", "delta")}, 3, [1.0, 0.5])
VIEW = "application/vnd.jupyter.widget-view+json"


def page(**options) -> str:
    return Explorer(X, Y, {"</script> one": TABLE, "kept": KEPT}, alt="Points <here>.", **options).to_html()


def test_page_is_the_same_each_time_and_alone():
    html = page()
    assert html == page()
    without = html.replace(module(), "").replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|src=|href=|url\(|@import|fetch\(|\bid=", without)
    assert html.count("<script") == html.count("</script>") == 3
    assert 'aria-label="Points &lt;here&gt;."' in html


def test_data_are_what_was_given():
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page(), re.DOTALL).group(1))
    assert data["state"]["query"] == [2.9, 0.0]  # kept within the plane, and no -0
    assert data["state"]["x"] == X[:3].tolist() and data["state"]["y"] == Y.tolist()
    table = data["tables"]["</script> one"]
    assert table["scale"] == [2.0] and table["table"]["delta"] == [[0.333333], [0.333333]]
    assert np.shape(data["tables"]["kept"]["table"]["alpha"]) == (1, 2, 2, 2)


def test_still_picture_shows_points_and_beliefs():
    html = page()
    still = html[: html.index("<noscript>")]
    assert still.count("translate(") == len(X)
    assert still.count("v") >= 3 * 3  # three classes, before and after each of two layers


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": X[:, :1]},
        {"x": X[:3]},
        {"x": X * np.nan},
        {"y": Y + 1},
        {"y": Y * 1.0},
        {"n_classes": 4},
        {"kind": "film"},
        {"tables": None},
        {"tables": {"one": "four-4"}},
        {"kind": "sectors"},
        {"kind": "head"},
        {"truth": [[1.0, 0.0]]},
    ],
)
def test_explorer_refuses(wrong):
    with pytest.raises(ValueError, match=r"must|takes|room"):
        Explorer(**{"x": X, "y": Y, "tables": {"one": TABLE}} | wrong)


def test_widget_holds_the_same():
    explorer = Explorer(X, Y, {"one": TABLE})
    assert explorer.widget is explorer.widget
    assert explorer.widget.state == explorer.state and list(explorer.widget.tables) == ["one"]
    assert set(explorer._repr_mimebundle_()) == {"text/plain", "text/html"}  # no kernel here


def test_what_is_stored_stands_by_itself():
    """A widget's view has a random name: where there is HTML beside it, it goes; where there is none, tests see it."""
    both = new_output("execute_result", {"text/html": "<p>", VIEW: {}}, execution_count=1)
    alone = new_output("execute_result", {VIEW: {}}, execution_count=1)
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[both, alone])])
    tidy(notebook)
    assert [set(output.data) for output in notebook.cells[0].outputs] == [{"text/html"}, {VIEW}]


def test_stored_pictures_carry_the_module_as_it_is():
    root = Path(__file__).parents[2]
    for path in sorted((root / "book").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                html = output.get("data", {}).get("text/html", "")
                assert renew(html) == html, f"{path.name}: python tools/live.py {path.name}"


def test_an_old_module_is_seen():
    assert renew(page().replace("makeCore", "makeKernel")) == page()


@pytest.mark.skipif(not shutil.which("node"), reason="no node; tests/test_browser.py asks the same of a browser")
def test_javascript_is_the_recursion(tmp_path):
    (tmp_path / "explorer.mjs").write_text(module(), encoding="utf-8")
    y = np.array([[0, 1, -1, 1]])
    x = np.random.default_rng(0).normal(size=(1, 6, 3))
    for table in (TABLE, KEPT):
        given = json.dumps([json.loads(table.to_json()), x[0].ravel().tolist(), y[0].tolist()])
        (tmp_path / "ask.mjs").write_text(
            'import {core} from "./explorer.mjs";'
            f"const [table, x, y] = {given}, t = core.parse(table), {{levels}} = core.trajectory(t, x, y, 3, 3);"
            "console.log(JSON.stringify([4, 5].map(i => core.readOut(t, levels[t.L], i, 3, 3))));"
        )
        run = subprocess.run(["node", tmp_path / "ask.mjs"], capture_output=True, text=True, check=True)
        np.testing.assert_allclose(json.loads(run.stdout), table(x, y)[0], rtol=0, atol=1e-12)
