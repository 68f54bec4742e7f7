"""Write the reference pages that are made from the package itself: its modules, and its command line.

Use it through `make pages`; a test compares what stands in book/api with what this writes.
"""

import argparse
from pathlib import Path

from icl_nb.cli import _parser

API = Path(__file__).resolve().parent.parent / "book" / "api"

# Every module of the package that has something to say, by page.
PAGES = {
    "recursion": ("The recursion", ["recursion"]),
    "tasks": ("Tasks", ["tasks.batch", "tasks.linear", "tasks.families", "tasks.tables", "tasks.shifts"]),
    "evaluation": (
        "Evaluation",
        [
            "evaluation.scores",
            "evaluation.baselines",
            "evaluation.oracle",
            "evaluation.survey",
            "evaluation.table",
            "evaluation.unlabelled",
        ],
    ),
    "symmetry": ("Symmetry", ["symmetry"]),
    "models": (
        "Models",
        ["models.attention", "models.ordinary", "models.training", "models.state", "models.files", "descent"],
    ),
    "interpret": (
        "What is inside",
        [
            f"interpret.{name}"
            for name in (
                "abstraction",
                "gauge",
                "rivals",
                "imitation",
                "separation",
                "account",
                "population",
                "noise",
                "rate",
                "contraction",
                "certificate",
                "lens",
                "knowledge",
            )
        ],
    ),
    "classifier": ("The estimator", ["classifier"]),
    "induction": (
        "Induction heads",
        [f"induction.{name}" for name in ("tasks", "information", "limit", "models", "training", "dynamics")],
    ),
    "runs": ("Many runs", [f"runs.{name}" for name in ("engine", "sweep", "bench")]),
    "shipped": (
        "What ships",
        [
            f"shipped.{name}"
            for name in (
                "recipes",
                "induction",
                "retrain",
                "depth",
                "variations",
                "tables",
                "real",
                "regret",
                "trained",
                "ladder",
                "rates",
                "exponents",
            )
        ],
    ),
    "figures": (
        "Figures",
        [f"figures.{name}" for name in ("style", "fit", "part_one", "player", "live", "explorer", "pictures")],
    ),
    "exercises": ("Answers to exercises", ["exercises"]),
}

MODULE = """
```{{eval-rst}}
.. automodule:: icl_nb.{module}
   :members:
   :member-order: bysource
   :exclude-members: set_fit_request, set_score_request
```
"""


def module_page(title: str, modules: list[str]) -> str:
    parts = [f"# {title}\n"]
    for module in modules:
        parts.append(f"\n## `icl_nb.{module}`\n" if len(modules) > 1 else "")
        parts.append(MODULE.format(module=module))
    return "".join(parts)


def command_page() -> str:
    """The commands of `icl-nb` and their options, as their parser knows them."""
    parser = _parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    lines = [
        "# The command line",
        "",
        "`icl-nb` comes with the package; `python -m icl_nb` is the same. Wrong input is answered by one line and exit",
        "code 2; long work shows a progress bar.",
    ]
    for choice in commands._choices_actions:
        sub = commands.choices[choice.dest]
        lines += ["", f"## `icl-nb {choice.dest}`", "", f"{choice.help[0].upper()}{choice.help[1:]}.", ""]
        for action in sub._actions:
            if action.dest != "help":
                name = ", ".join(action.option_strings) or action.metavar or action.dest
                shown = action.default not in (None, argparse.SUPPRESS, []) and action.const is None
                default = f" = {action.default}" if shown else ""
                choices = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
                lines += [f"`{name}{default}`", f": {action.help}{choices}", ""]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    modules = {name: module_page(title, modules) for name, (title, modules) in PAGES.items()}
    return modules | {"command-line": command_page()}


def main() -> None:
    API.mkdir(exist_ok=True)
    for name, text in pages().items():
        (API / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
