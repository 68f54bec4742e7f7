"""For Sphinx: terms that say what they mean, and formulas that keep the comma behind them on their line.

A term of the glossary is a link where a chapter has it first, by hand or else from here. It shows its definition where
a mouse rests on it, as the browser's own tooltip: no script, and nothing for a phone to trip over. Sentences with
formulas are left out, which a tooltip cannot set.
"""

import re

from docutils import nodes

GLOSSARY = "book/glossary"
OBJECT = "\ufffc"  # stands in a text for what is no text
# Terms that chapters also use as words of another meaning: only an author knows which it is.
AMBIGUOUS = {"context", "gauge", "injection", "kernel", "lens", "margin", "memory"}


def in_words(definition: nodes.Node) -> str:
    """The sentences of a definition that hold no formula, in one line.

    >>> text = nodes.paragraph("", "A map. With ")
    >>> text += [nodes.math("", "f"), nodes.Text(" it is one. It maps.")]
    >>> in_words(nodes.definition("", text))
    'A map. It maps.'
    """
    plain = definition.deepcopy()
    for formula in list(plain.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))):
        formula.parent.replace(formula, nodes.Text(OBJECT))
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


def keep_together(page: nodes.Node) -> None:
    """Put each formula, with the bracket before it and what follows without a space, into one span that does not break.

    >>> text = nodes.paragraph("", "Let (")
    >>> text += [nodes.math("", "f"), nodes.Text("), a map, be one.")]
    >>> keep_together(text)
    >>> [part.astext() for part in text]
    ['Let ', '(f),', ' a map, be one.']
    """
    for formula in list(page.findall(nodes.math)):
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
    keep_together(page)


def setup(app) -> dict:
    app.setup_extension("tools.figures")
    app.connect("doctree-resolved", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
