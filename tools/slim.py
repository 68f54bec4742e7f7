"""Take out of the built site what no page asks for, and pictures out of the notebooks that readers download.

Use it through `make book`.
"""

import json
import shutil
import sys
from pathlib import Path

# For those who debug the theme; templates and translations for its build; fonts for browsers of before 2016.
UNASKED = ("*.map", "*webpack-macros.html", "*.ttf")
# What a run of the notebook makes anew; stored, they are six of seven megabytes, and all of them are on the pages.
DRAWN = ("image/png", "image/svg+xml", "application/vnd.icl-nb.narrow+svg", "text/html")


def without_pictures(text: str) -> str:
    """A notebook whose outputs are those that can be read as text.

    >>> cell = {"outputs": [{"data": {"image/svg+xml": "<svg/>", "text/plain": "4"}}]}
    >>> json.loads(without_pictures(json.dumps({"cells": [cell]})))
    {'cells': [{'outputs': [{'data': {'text/plain': '4'}}]}]}
    """
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for kind in DRAWN:
                output.get("data", {}).pop(kind, None)
    return json.dumps(notebook, indent=1, ensure_ascii=False)


def main() -> None:
    site = Path(sys.argv[1])
    for pattern in UNASKED:
        for path in (site / "_static").rglob(pattern):
            path.unlink()
    shutil.rmtree(site / "_static" / "locales", ignore_errors=True)
    for path in (site / "_sources").rglob("*.ipynb"):
        path.write_text(without_pictures(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
