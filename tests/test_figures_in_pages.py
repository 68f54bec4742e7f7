"""Figures on their way into the page: ink, names, formulas, and what must stay."""

from xml.etree import ElementTree

import pytest

from icl_nb.figures import fit
from tools import comparison, figures


def inline(body: str) -> ElementTree.Element:
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 72 36">'
    return ElementTree.fromstring(figures.inline(f"{head}{body}</svg>", "fig-a", 'Says "a" & b.', "narrow"))


def test_kinds_are_the_same_everywhere():
    assert (figures.WIDE, figures.NARROW, figures.STILL) == (fit.WIDE_KIND, fit.NARROW_KIND, fit.STILL)
    assert set(comparison.PICTURES) == {fit.WIDE_KIND, fit.NARROW_KIND}


def test_a_picture_says_what_it_shows_and_is_as_large_as_it_was_drawn():
    svg = inline("<style>*{stroke-linecap: butt}</style><path d='M0 0L9 9'/>")
    assert svg.attrib == {
        "class": "icl-narrow",
        "role": "img",
        "aria-label": 'Says "a" & b.',
        "viewBox": "0 0 72 36",
        "width": "96",
        "height": "48",
    }
    assert [child.tag for child in svg] == ["path"]


def test_names_are_those_of_the_figure():
    svg = inline(
        '<defs><path id="m1" d="M0 0"/><clipPath id="p1"><rect/></clipPath></defs>'
        '<g id="axes_1" clip-path="url(#p1)"><use xlink:href="#m1" x="1"/></g>'
    )
    assert [e.get("id") for e in svg.iter() if e.get("id")] == ["fig-a-n1", "fig-a-n0"]
    assert svg.find(".//use").get("href") == "#fig-a-n1" and svg.find("g").get("clip-path") == "url(#fig-a-n0)"


def test_the_sheet_goes_and_what_lies_on_a_picture_stays():
    white = "<path d='M0 0' style='fill: #ffffff'/>"
    svg = inline(
        f"<g id='patch_1'>{white}</g><g id='still-0'>{white}<text>on</text></g><text style='font-size: 9px'>off</text>"
    )
    assert [path.get("style") for path in svg.iter("path")] == ["fill:#ffffff"]
    assert svg.find("g").get("style").startswith("fill:#000") and svg.find("g/text").text == "on"
    assert "fill" not in svg.findall("text")[-1].get("style")


def test_marks_of_one_look_say_it_once():
    style = "fill: #0072b2; stroke: #ffffff"
    uses = "".join(f"<use xlink:href='#m' x='{x}' style='{style}'/>" for x in range(3))
    svg = inline(f"<g>{uses}</g>")
    assert svg.find("g").get("style") == "fill:#0072b2;stroke:var(--icl-ground)"
    assert [use.get("style") for use in svg.iter("use")] == [None] * 3


@pytest.mark.parametrize(("raised", "flows"), [("-0.3", True), ("-4", False)])
def test_a_line_with_a_formula_flows_unless_something_is_raised(raised, flows):
    svg = inline(
        '<text><tspan x="0 6 12" y="-0.1" style="font-size: 9px">is\xa0</tspan>'
        f'<tspan x="18" y="{raised}" style="font-style: oblique">d</tspan></text>'
    )
    text = svg.find("text")
    assert "".join(text.itertext()) == "is\xa0d"
    assert all(span.get("x") is None for span in text) is flows
    assert ("middle" in text.get("style", "")) is flows


def test_pictures_of_a_notebook_lose_the_narrow_one():
    data = {fit.WIDE_KIND: ["<svg>", "</svg>"], fit.NARROW_KIND: "<svg/>", "text/plain": "x"}
    cell = {"metadata": {"mystnb": {"figure": {"name": "fig-a"}}}, "outputs": [{"data": data}]}
    notebook = {"cells": [cell, {"metadata": {}}]}
    assert figures.pictures(notebook) == {"fig-a": {"wide": "<svg></svg>", "narrow": "<svg/>"}}
    assert set(data) == {fit.WIDE_KIND, "text/plain"}


def test_tables_beside_a_figure_get_a_cell_of_their_own():
    """Both in one cell would be two figures of one name; no other output moves."""
    picture, table, words = {"data": {fit.WIDE_KIND: "<svg/>"}}, {"data": {"text/html": "<table/>"}}, {"text": "x"}
    drawn = {"id": "a", "source": "draw()", "metadata": {"mystnb": {"figure": {"name": "fig-a"}}}}
    plain = {"id": "b", "source": "show()", "metadata": {}, "outputs": [table]}
    notebook = {"cells": [{**drawn, "outputs": [words, table, picture]}, plain, {"metadata": {}}]}
    figures.part_tables(notebook)
    first, second, *rest = notebook["cells"]
    assert first == {**drawn, "outputs": [words, picture]} and rest == [plain, {"metadata": {}}]
    assert second["outputs"] == [table] and second["metadata"] == {"tags": ["remove-input"]}
