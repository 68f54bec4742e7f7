"""Run the notebooks in place, each in a fresh kernel, and store nothing but what the book needs.

Use it through `make notebooks`, which sets the environment that the stored outputs rely on.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

BOOK = Path(__file__).parent.parent / "book"
# It reports the run times of the others, so it runs after them.
LAST = BOOK / "status.ipynb"
# The picture of the README is the first one of the landing page.
LANDING, PICTURE = BOOK / "index.ipynb", BOOK / "_static" / "answer.svg"

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}


def execute(path: Path) -> int:
    """Run one notebook, write it back, and return the seconds that it took."""
    notebook = nbformat.read(path, as_version=4)
    recorded = notebook.metadata.get("icl_nb", {}).get("seconds")
    notebook.metadata = nbformat.from_dict(METADATA)
    client = NotebookClient(
        notebook,
        timeout=None,
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that it listens on this machine unencrypted
    )
    # nbclient would play the front end of a widget, and now and then miss the kernel's reply among its own messages.
    # Then it waits for good. What a control shows is not stored.
    client.comm_open_handlers["jupyter.widget"] = lambda message: None
    start = time.perf_counter()
    client.execute()
    seconds = round(time.perf_counter() - start)
    tidy(notebook)
    # A time within the usual scatter stays as recorded, so that a run which changes nothing leaves no difference.
    kept = recorded if recorded and abs(seconds - recorded) <= 2 + 0.25 * recorded else seconds
    notebook.metadata = nbformat.from_dict({"icl_nb": {"seconds": kept}, **METADATA})
    nbformat.write(notebook, path)
    return seconds


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from run to run or from editor to editor."""
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in ("mystnb", "tags") if k in cell.metadata})
        # The page does not show them, and the view of a widget has a random name.
        if cell.cell_type == "code" and "remove-output" in cell.metadata.get("tags", ()):
            cell.outputs = []
        for output in cell.get("outputs", ()):  # a picture that stands by itself needs no view either
            if "text/html" in output.get("data", {}):
                output.data.pop("application/vnd.jupyter.widget-view+json", None)


def first_picture(path: Path) -> str:
    """The first stored figure of a notebook, as an SVG file."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = (output for cell in cells if cell.cell_type == "code" for output in cell.outputs)
    return next(output.data["image/svg+xml"] for output in outputs if "image/svg+xml" in output.get("data", {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="those to run (default: all of the book)")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks that run at the same time (default: 2)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the Makefile does; the kernels inherit it
    notebooks = [path.resolve() for path in options.notebooks] or sorted(BOOK.glob("*.ipynb"))
    first = [path for path in notebooks if path != LAST]
    last = [path for path in notebooks if path == LAST]
    for group in (first, last):
        with ThreadPoolExecutor(options.jobs) as pool:
            for path, seconds in zip(group, pool.map(execute, group), strict=True):
                print(f"{path.name}: {seconds} s", flush=True)
    if LANDING in notebooks:
        PICTURE.write_text(first_picture(LANDING), encoding="utf-8")


if __name__ == "__main__":
    main()
