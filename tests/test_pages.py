"""The reference pages say what the package says, and leave no module out."""

from pathlib import Path

import yaml

from icl_nb.cli import _parser
from tools.pages import API, PAGES, pages

ROOT = Path(__file__).parent.parent
# What holds no name that a reader would look up.
SILENT = {"__init__", "__main__", "checks", "cli"}


def test_pages_are_as_written():
    """Where this fails: make pages."""
    assert {path.stem: path.read_text(encoding="utf-8") for path in API.glob("*.md")} == pages()


def test_every_module_has_its_place():
    listed = [module for _, modules in PAGES.values() for module in modules]
    modules = {path.relative_to(ROOT / "icl_nb").with_suffix("") for path in (ROOT / "icl_nb").rglob("*.py")}
    assert sorted(listed) == sorted(".".join(path.parts) for path in modules if path.name not in SILENT)


def test_pages_are_in_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    named = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert {f"book/api/{name}" for name in pages()} <= set(named)


def test_the_command_line_page_names_every_option():
    text = pages()["command-line"]
    for command in ("train", "evaluate", "bench", "sweep", "checkpoints"):
        assert f"## `icl-nb {command}`" in text
    assert "`--steps = 4000`\n: optimiser steps\n" in text
    assert _parser().prog == "icl-nb"
