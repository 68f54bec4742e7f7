"""What is stored of a notebook that was run: what the page shows, and nothing that differs from run to run."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.execute import tidy

VIEW = "application/vnd.jupyter.widget-view+json"


def shown(data, kind="display_data"):
    return new_output(kind, data)


def test_a_cell_whose_output_no_page_shows_stores_none():
    hidden = new_code_cell("x", outputs=[shown({"text/plain": "1"})], metadata={"tags": ["remove-output"]})
    open_ = new_code_cell("x", outputs=[shown({"text/plain": "1"})], metadata={"tags": ["nbval-ignore-output"]})
    notebook = new_notebook(cells=[hidden, open_, new_markdown_cell("m", metadata={"tags": ["remove-output"]})])
    tidy(notebook)
    assert notebook.cells[0].outputs == [] and len(notebook.cells[1].outputs) == 1
    nbformat.validate(notebook)


def test_a_picture_that_stands_by_itself_stores_no_view_of_a_widget():
    alone, both = {VIEW: {"model_id": "a"}}, {"text/html": "<p>", VIEW: {"model_id": "b"}}
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[shown(dict(alone)), shown(dict(both))])])
    tidy(notebook)
    assert [dict(output.data) for output in notebook.cells[0].outputs] == [alone, {"text/html": "<p>"}]


def test_of_the_metadata_only_what_the_book_reads_is_kept():
    kept = {"mystnb": {"image": {"alt": "a"}}, "tags": ["hide-input"]}
    cell = new_code_cell("x", metadata=kept | {"execution": {"iopub.status.busy": "2026"}, "collapsed": True})
    notebook = new_notebook(cells=[cell, new_markdown_cell("m", metadata={"editable": True})])
    tidy(notebook)
    assert notebook.cells[0].metadata == kept and notebook.cells[1].metadata == {}
