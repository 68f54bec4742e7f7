"""For Sphinx: figures stand in the page as SVG, one for wide pages and one for phones, in the colours of the page.

`icl_nb.figures.fit` stores two pictures of each figure. Here both go into the page itself, where style sheets reach
them: one is shown (`custom.css` says which), black is the ink of the page, white its ground, grey a mixture, and
colours that stand for something stay as they are.
"""

import json
import re
from xml.etree import ElementTree

from docutils import nodes

WIDE, NARROW = "image/svg+xml", "application/vnd.icl-nb.narrow+svg"
STILL = "still"  # as in icl_nb.figures.fit: starts the name of what lies on a picture, and keeps its colour
COLOUR = re.compile(r"#[0-9a-f]{6}")


class picture(nodes.General, nodes.Element):  # noqa: N801 (docutils makes names of methods from it)
    """A figure in two widths: `wide` and `narrow` are SVG, `alt` says what they show, `name` is the figure's."""


def in_ink(colour: str, text: bool = False) -> str:
    """A colour of a figure as one of the page.

    >>> in_ink("#000000"), in_ink("#ffffff"), in_ink("#e6e6e6"), in_ink("#0072b2")
    ('currentColor', 'var(--icl-ground)', 'color-mix(in srgb,currentColor 10%,var(--icl-ground))', '#0072b2')
    >>> in_ink("#e69f00", text=True)
    'color-mix(in srgb,#e69f00 55%,currentColor)'
    """
    if colour in ("#000000", "#ffffff"):
        return "currentColor" if colour == "#000000" else "var(--icl-ground)"
    if colour[1:3] == colour[3:5] == colour[5:7]:
        return f"color-mix(in srgb,currentColor {round(100 - int(colour[1:3], 16) / 2.55)}%,var(--icl-ground))"
    return f"color-mix(in srgb,{colour} 55%,currentColor)" if text else colour


def inline(svg: str, name: str, alt: str, kind: str) -> str:
    """An SVG file as an element of a page.

    >>> path = '<g id="axes_1"><g id="line2d_1"><path id="a" d="M0 0L9 9" style="stroke: #000000"/></g></g>'
    >>> inline(f'<svg viewBox="0 0 9 9">{path}</svg>', "fig-a", "A line.", "wide").partition("><")[2]
    'path d="M0 0L9 9" style="stroke:currentColor" /></svg>'
    """
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in list(element.attrib):
            element.attrib[key.rpartition("}")[2]] = element.attrib.pop(key)
    width, height = map(float, root.get("viewBox").split()[2:])
    used = dict.fromkeys(re.findall(r'(?:url\(|href=")#([\w-]+)', svg))
    used = {old: f"{name}-{kind[0]}{number}" for number, old in enumerate(used)}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "style" or (child.tag == "g" and _is_ground(child)):
                parent.remove(child)
    _finish(root, used, still=False)
    for text in root.iter("text"):
        _let_flow(text)
    _share(root)
    _flatten(root)
    root.attrib = {
        "class": f"icl-{kind}",
        "role": "img",
        "aria-label": alt,
        "viewBox": root.get("viewBox"),
        "width": f"{width * 4 / 3:.0f}",
        "height": f"{height * 4 / 3:.0f}",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _is_ground(group) -> bool:
    """Whether a group is the white sheet of a figure or of its axes."""
    return group.get("id", "").startswith("patch_") and len(group) == 1 and group[0].get("style") == "fill: #ffffff"


def _finish(element, used: dict, still: bool) -> None:
    name = element.get("id", "")
    if name.startswith(STILL) and not still:
        still = True
        element.set("style", "fill: #000;" + element.get("style", ""))
    if name in used:
        element.set("id", used[name])
    elif name:
        del element.attrib["id"]
    if style := element.get("style"):
        if not still:
            words = element.tag in ("text", "tspan")
            style = COLOUR.sub(lambda found: in_ink(found.group(), words), style)
        element.set("style", re.sub(r"([;:]) ", r"\1", style).strip("; "))
    for key, value in element.items():
        element.set(
            key,
            re.sub(r"(url\(|^)#([\w-]+)", lambda found: found[1] + "#" + used.get(found[2], found[2]), value)
            if key in ("href", "clip-path", "style")
            else value,
        )
    element.text, element.tail = (part if part and part.strip() else None for part in (element.text, element.tail))
    for child in element:
        _finish(child, used, still)


def _let_flow(text) -> None:
    """Let a line with a formula run in the reader's type; each letter had the place that another type gives it.

    Lines with something raised or lowered stay as they were set.
    """
    letters = []
    for span in text:
        at = [[float(number) for number in span.get(key, "").split()] for key in "xy"]
        at[1] *= len(at[0]) if len(at[1]) == 1 else 1
        if span.tag != "tspan" or not len(at[0]) == len(at[1]) == len(span.text or ""):
            return
        letters += [(x, y, letter, span.get("style", "")) for x, y, letter in zip(*at, span.text, strict=True)]
    heights = [y for _, y, _, _ in letters]
    if len(letters) < 2 or max(heights) - min(heights) > 1.2:
        return
    letters.sort()
    text[:] = []
    for _, _, letter, style in letters:
        if not len(text) or text[-1].get("style") != style:
            ElementTree.SubElement(text, "tspan", {"style": style}).text = ""
        text[-1].text += letter
    end = letters[-1][0] + 0.6 * (letters[-1][0] - letters[0][0]) / (len(letters) - 1)
    text.attrib |= {"x": f"{(letters[0][0] + end) / 2:.1f}", "y": f"{sum(heights) / len(heights):.1f}"}
    text.set("style", f"{text.get('style', '')};text-anchor:middle".strip(";"))


def _share(element) -> None:
    """Let a group say once what all the marks in it say."""
    for child in element:
        _share(child)
    styles = {child.get("style") for child in element}
    if element.tag == "g" and len(element) > 1 and len(styles) == 1 and {child.tag for child in element} == {"use"}:
        for child in element:
            child.attrib.pop("style", None)
        element.set("style", ";".join(filter(None, (element.get("style"), *styles))))


def _flatten(element) -> None:
    """Take out groups that say nothing."""
    for child in list(element):
        _flatten(child)
        if child.tag in ("g", "defs") and not child.attrib and (child.tag == "g" or not len(child)):
            place = list(element).index(child)
            element[place : place + 1] = list(child)


def pictures(notebook: dict) -> dict[str, dict[str, str]]:
    """The SVG of each named figure of a notebook, by kind; the narrow ones are taken out of it."""
    found = {}
    for cell in notebook["cells"]:
        name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            narrow = data.pop(NARROW, None)
            if name and WIDE in data and name not in found:
                found[name] = {"wide": "".join(data[WIDE]), "narrow": "".join(narrow or data[WIDE])}
    return found


def part_tables(notebook: dict) -> None:
    """Give the tables beside a figure a cell of their own, which follows: MyST-NB makes a figure of all in one cell."""
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell)
        if cell["metadata"].get("mystnb", {}).get("figure"):
            tables = [output for output in cell["outputs"] if "text/html" in output.get("data", {})]
            cell["outputs"] = [output for output in cell["outputs"] if output not in tables]
            # Its source is not shown, but where there is none MyST-NB skips the cell.
            own = {"id": f"{cell['id']}-tables", "source": "tables", "metadata": {"tags": ["remove-input"]}}
            cells += [{**cell, **own, "outputs": tables}] if tables else []
    notebook["cells"] = cells


def keep(app, name: str, source: list[str]) -> None:
    """Before a notebook is read: remember its pictures. MyST-NB warns of kinds that it does not know."""
    if app.env.doc2path(name).endswith(".ipynb"):
        notebook = json.loads(source[0])
        app.env.temp_data["pictures"] = pictures(notebook)
        part_tables(notebook)
        source[0] = json.dumps(notebook)


def place(app, page: nodes.document) -> None:
    """Before Sphinx collects the files of pictures: put them into the page itself."""
    known = app.env.temp_data.get("pictures", {})
    for figure in list(page.findall(nodes.figure)):
        for name in (name for name in figure["names"] + figure["ids"] if name in known):
            for image in list(figure.findall(nodes.image)):
                image.parent.replace(image, picture(alt=image.get("alt", ""), name=name, **known[name]))


def visit(writer, node: picture) -> None:
    kinds = "".join(inline(node[kind], node["name"], node["alt"], kind) for kind in ("wide", "narrow"))
    writer.body.append(f'<div class="icl-figure">{kinds}</div>')
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_node(picture, html=(visit, None))
    app.connect("source-read", keep)
    app.connect("doctree-read", place, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
