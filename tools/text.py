"""For Sphinx: terms and symbols that say what they mean, and formulas that keep the comma behind them on their line.

A term of the glossary is a link where a chapter has it first, by hand or else from here. It shows its definition where
a mouse rests on it, as the browser's own tooltip: no script, and nothing for a phone to trip over. Sentences with
formulas are left out, which a tooltip cannot set, unless letters and signs are all that these hold. In the same way a
formula that is a symbol of the page of symbols is a link to its row there, and shows its meaning.
"""

import re
from collections import defaultdict
from html.entities import html5

from docutils import nodes

GLOSSARY = "book/glossary"
SYMBOLS = "book/symbols"
PART_II = range(12, 100)  # its chapters
OBJECT = "\ufffc"  # stands in a text for what is no text
# Terms that chapters also use as words of another meaning: only an author knows which it is.
AMBIGUOUS = {"context", "gauge", "injection", "kernel", "lens", "margin", "memory"}


def said(formula: str) -> str:
    """A formula in plain characters, where it has letters and signs alone.

    >>> said(r"\\alpha \\le 3"), said("x_i") == OBJECT
    ('α ≤ 3', True)
    """
    greek = {name[:-1]: sign for name, sign in html5.items() if name[-1] == ";" and "\u0370" < sign < "\u0400"}
    signs = greek | {"dots": "…", "ge": "≥", "le": "≤"}
    plain = re.sub(r"\\([A-Za-z]+)", lambda found: signs.get(found[1], OBJECT), formula.replace(r"\sqrt ", "√"))
    return OBJECT if re.search(rf"[\\_^{{}}{OBJECT}]", plain) else plain


def in_words(definition: nodes.Node) -> str:
    """The sentences of a definition that hold no formula but letters and signs, in one line.

    >>> text = nodes.paragraph("", "A map. With ")
    >>> text += [nodes.math("", "f^2"), nodes.Text(" it is one. It maps.")]
    >>> in_words(nodes.definition("", text))
    'A map. It maps.'
    """
    plain = definition.deepcopy()
    for formula in list(plain.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))):
        formula.parent.replace(formula, nodes.Text(said(formula.astext())))
    text = " ".join(plain.astext().split())
    return " ".join(part for part in re.split(r"(?<=[.:;]) ", text) if OBJECT not in part)


def definitions(glossary: nodes.document) -> dict[str, str]:
    """What a tooltip says, by the place of the term in the page of the glossary."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        for term in item.findall(nodes.term):
            found |= dict.fromkeys(term["ids"], in_words(item.children[-1]))
    return found


def add_tooltips(app, page: nodes.document) -> None:
    known = definitions(app.env.get_doctree(GLOSSARY))
    for link in page.findall(nodes.reference):
        if any("std-term" in child.get("classes", ()) for child in link.findall(nodes.Element)):
            place = link.get("refid") or link["refuri"].partition("#")[2]
            link["reftitle"] = known[place] or place.removeprefix("term-")


def places(glossary: nodes.document) -> dict[str, str]:
    """Where each term of the glossary stands in its page, by its name in small letters."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        for term in item.findall(nodes.term):
            found[term.astext().lower()] = term["ids"][0]
    return found


def link_first(page: nodes.Node, terms: dict[str, str]) -> None:
    """Link each term to its address where running text has it first, alone or in the plural.

    >>> text = nodes.paragraph("", "Subheads, heads and a head.")
    >>> link_first(text, {"head": "glossary.html#term-head"})
    >>> [part.astext() for part in text], text[1]["refuri"]
    (['Subheads, ', 'heads', ' and a head.'], 'glossary.html#term-head')
    """
    for term, address in sorted(terms.items(), key=lambda item: -len(item[0])):  # the whole before its parts
        word = re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", re.IGNORECASE)
        for text in page.findall(nodes.Text):
            if isinstance(text.parent, nodes.paragraph) and (found := word.search(text)):
                shown = nodes.inline("", found[0], classes=["xref", "std", "std-term"])
                link = nodes.reference("", "", shown, refuri=address, internal=True)
                whole = [nodes.Text(text[: found.start()]), link, nodes.Text(text[found.end() :])]
                text.parent.replace(text, [part for part in whole if part.astext()])
                break


def link_terms(app, page: nodes.document, name: str) -> None:
    """Link the terms that a chapter uses and its author has not linked."""
    if not re.match(r"book/\d\d-", name):
        return
    used = {
        link.get("refid") or link.get("refuri", "").partition("#")[2]
        for link in page.findall(nodes.reference)
        if any("std-term" in child.get("classes", ()) for child in link.findall(nodes.Element))
    }
    known = {term: place for term, place in places(app.env.get_doctree(GLOSSARY)).items() if term not in AMBIGUOUS}
    home = app.builder.get_relative_uri(name, GLOSSARY)
    link_first(page, {term: f"{home}#{place}" for term, place in known.items() if place not in used})


def letter(formula: str) -> str:
    """A symbol by a name that no space, brace or running index changes.

    >>> letter(r"\\hat{z}_j") == letter(r"\\hat z_i") != letter(r"\\hat z")
    True
    """
    return re.sub(r"_[chijklt]$", "_i", re.sub(r"\{(\\?\w+)\}|\s+", r"\1", formula))


def symbols(page: nodes.document, chapter: int) -> dict[str, nodes.row]:
    """The rows of the page of symbols that hold in a chapter, 0 for none, by letter; not letters of two meanings."""
    found = {kind: defaultdict(list) for kind in ("part", "chapter", "place")}
    for table in page.findall(nodes.table):
        title, (head, body) = table.parent[0].astext(), table[0][-2:]
        means = [cell.astext() for cell in head[0]].index("meaning")
        for row in body:
            if title.startswith("Letters of one place"):
                kind, where = "place", map(int, re.findall(r"\d+", row[1].astext()))
            elif title.startswith("Chapter"):
                kind, where = "chapter", [int(title.split()[1])]
            else:
                kind, where = "part", PART_II if title == "Part II" else range(PART_II[0])
            row["means"] = in_words(row[means]).rstrip(".:;")
            for formula in row[0].findall(nodes.math) if chapter in where else ():
                for symbol in re.split(r",(?![^(]*\))", formula.astext().partition("=")[0]):
                    found[kind][letter(symbol)].append(row)
    known = defaultdict(list, found["part"] | found["chapter"])
    for symbol, rows in found["place"].items():
        known[symbol] += rows
    return {symbol: rows[0] for symbol, rows in known.items() if len(rows) == 1}


def number_rows(app, page: nodes.document) -> None:
    """Give each row of the page of symbols an address."""
    if app.env.docname == SYMBOLS:
        for number, row in enumerate(page.findall(nodes.row)):
            row["ids"].append(f"symbol-{number}")


def link_symbols(page: nodes.Node, known: dict[str, nodes.row], home: str) -> None:
    """Link each symbol to its row where running text has it first as a formula of its own.

    >>> text = nodes.paragraph("", "", nodes.math("", "K + 1"), nodes.math("", "K"), nodes.math("", "K"))
    >>> link_symbols(text, {"K": nodes.row(ids=["symbol-9"], means="classes")}, "symbols.html")
    >>> [part.astext() for part in text], text[1]["refuri"], text[1]["reftitle"]
    (['K + 1', 'K', 'K'], 'symbols.html#symbol-9', 'classes')
    """
    for formula in list(page.findall(nodes.math)):
        if isinstance(formula.parent, nodes.paragraph) and (row := known.pop(letter(formula.astext()), None)):
            address = {"refuri": f"{home}#{row['ids'][0]}", "reftitle": row["means"], "internal": True}
            formula.replace_self(nodes.reference("", "", formula.deepcopy(), classes=["symbol"], **address))


def keep_together(page: nodes.Node) -> None:
    """Put each formula, with the bracket before it and what follows without a space, into one span that does not break.

    >>> text = nodes.paragraph("", "Let (")
    >>> text += [nodes.math("", "f"), nodes.Text("), a map, be one.")]
    >>> keep_together(text)
    >>> [part.astext() for part in text]
    ['Let ', '(f),', ' a map, be one.']
    """
    for formula in list(page.findall(nodes.math)):
        if "symbol" in formula.parent.get("classes", ()):
            formula = formula.parent
        parts, place = formula.parent, formula.parent.index(formula)
        before = parts[place - 1] if place else None
        after = parts[place + 1] if place + 1 < len(parts) else None
        left = re.search(r"[(\[]*$", before)[0] if isinstance(before, nodes.Text) else ""
        right = re.match(r"\S{0,9}", after)[0] if isinstance(after, nodes.Text) else ""
        if left:
            parts.replace(before, nodes.Text(before[: -len(left)]))
        if right:
            parts.replace(after, nodes.Text(after[len(right) :]))
        if left or right:
            whole = nodes.inline("", nodes.Text(left), classes=["together"])
            parts.replace(formula, whole)
            whole += [formula, nodes.Text(right)]


def finish(app, page: nodes.document, name: str) -> None:
    link_terms(app, page, name)
    add_tooltips(app, page)
    if chapter := re.match(r"book/(\d\d)-|book/index$", name):
        known = symbols(app.env.get_doctree(SYMBOLS), int(chapter[1] or 0))
        link_symbols(page, known, app.builder.get_relative_uri(name, SYMBOLS))
    keep_together(page)


def setup(app) -> dict:
    app.setup_extension("tools.figures")
    app.connect("doctree-read", number_rows)
    app.connect("doctree-resolved", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
