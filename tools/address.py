"""The addresses of the book, and all that follows from them: the buttons of the site, and a first cell for Colab.

`[project.urls]` of pyproject.toml is the one place that knows them. Where one is missing, so is what needs it, and no
button, link or cell leads nowhere. Use it through `make book` and `make address`.
"""

import argparse
import tomllib
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).parent.parent
COLAB = """\
import sys

if "google.colab" in sys.modules:
    %pip install -q "icl-nb @ {site}/{wheel}"
"""


def read_project(path: Path = ROOT / "pyproject.toml") -> tuple[str | None, str | None, str]:
    """The addresses of the code and of the site, None where there is none, and the file name of the wheel."""
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    addresses = []
    for key in ("Repository", "Documentation"):
        address = project.get("urls", {}).get(key)
        if address is not None and not address.startswith("https://"):
            raise ValueError(f"{key} in [project.urls] is no https address: {address!r}")
        addresses.append(address and address.removesuffix(".git").rstrip("/"))
    return *addresses, f"{project['name'].replace('-', '_')}-{project['version']}-py3-none-any.whl"


def with_buttons(config: dict, repository: str | None, site: str | None) -> dict:
    """The configuration of Jupyter Book, with the buttons that work at these addresses."""
    if repository is None:
        return config
    buttons = {"use_repository_button": True, "use_issues_button": True}
    launch = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
    # Colab opens notebooks of GitHub alone, and there they need the wheel of the site.
    if site and repository.startswith("https://github.com/"):
        launch["colab_url"] = "https://colab.research.google.com"
    return config | {
        "repository": {"url": repository, "branch": "main"},
        "launch_buttons": launch,
        "html": config.get("html", {}) | buttons,
    }


def stamp(notebook: nbformat.NotebookNode, site: str | None, wheel: str) -> None:
    """Let the first code cell install the wheel on Colab, or take such a cell away where there is no site."""
    cells = [cell for cell in notebook.cells if not is_colab(cell)]
    if site:
        first = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
        source = COLAB.format(site=site, wheel=wheel).rstrip()
        cells.insert(first, new_code_cell(source, id="colab", metadata={"tags": ["remove-cell"]}))
        cells[first].execution_count = 0
    notebook.cells = cells
    # As if run from top to bottom; a cell that never ran stays without a number.
    number = 0
    for cell in cells:
        if cell.cell_type == "code" and cell.execution_count is not None:
            number += 1
            cell.execution_count = number
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number


def is_colab(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and "remove-cell" in cell.metadata.get("tags", ()) and "google.colab" in cell.source


def write_config(source: Path, target: Path, repository: str | None, site: str | None) -> None:
    config = yaml.safe_load(source.read_text(encoding="utf-8"))
    target.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(with_buttons(config, repository, site), sort_keys=False, allow_unicode=True)
    target.write_text(text, encoding="utf-8")


def stamp_files(paths: list[Path], site: str | None, wheel: str) -> list[Path]:
    """Stamp notebooks in place; those that are as they should be are not written. The ones that changed."""
    changed = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        before = nbformat.writes(notebook)
        stamp(notebook, site, wheel)
        if nbformat.writes(notebook) != before:
            nbformat.write(notebook, path)
            changed.append(path)
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="write the configuration of the site here, and stamp no notebook")
    options = parser.parse_args()
    repository, site, wheel = read_project()
    if options.config:
        write_config(ROOT / "_config.yml", options.config, repository, site)
        return
    changed = stamp_files(sorted((ROOT / "book").glob("*.ipynb")), site, wheel)
    print(
        f"repository {repository}, site {site}; notebooks changed: {', '.join(path.name for path in changed) or 'none'}"
    )


if __name__ == "__main__":
    main()
