"""Write the live pictures into the notebooks anew, after a change of their module, without running what is around them.

    python tools/live.py book/index.ipynb

A picture carries its module as text, so that each change in `icl_nb/figures/js` changes the stored output of its cell.
"""

import argparse
import re
from pathlib import Path

import nbformat

from icl_nb.figures.live import module

BEGIN, END = '<script type="text/plain">', "</script>"


def renew(html: str) -> str:
    """The HTML of a live picture with the module as it is now; any other HTML as it is.

    >>> renew("<p>")
    '<p>'
    """
    head, begin, rest = html.partition(BEGIN)
    if not begin or "icl-explorer" not in head:
        return html
    kind = re.search(r'<script type="application/json">\{"kind":"(\w+)"', head)
    return head + begin + module(kind.group(1)) + END + rest.partition(END)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                if "text/html" in output.get("data", {}):
                    output.data["text/html"] = renew(output.data["text/html"])
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
