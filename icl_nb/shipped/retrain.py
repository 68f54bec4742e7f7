"""All checkpoints that ship, and how they are made again."""

import json
from dataclasses import asdict
from graphlib import TopologicalSorter
from pathlib import Path

from tqdm import tqdm

from icl_nb.evaluation.scores import evaluate
from icl_nb.induction.tasks import loss
from icl_nb.induction.training import predict_chains
from icl_nb.models.files import SHIPPED, check_path, describe, load, save
from icl_nb.models.state import sweep_up
from icl_nb.runs.engine import run_all, take_shard
from icl_nb.shipped import induction, recipes
from icl_nb.tasks.linear import LinearTask

RECIPES: dict[str, recipes.Recipe | induction.Recipe] = recipes.RECIPES | induction.RECIPES

# Those whose figures the book leads with.
HEADLINES = (
    *("headline", "recursion", "deep", "memory", "table", "sizes", "dense-0", "equivariant-0", "four-0"),
    *("ordinary-0", "opened", "joint-0", "staged-0", "full-0"),
)


def retrain(
    names: list[str] | None = None,
    *,
    folder: str | Path = SHIPPED,
    jobs: int = 2,
    backend: str = "loky",
    scheduler: str | None = None,
    shard: str | None = None,
    resume: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Re-create shipped checkpoints from their recipes, several processes side by side.

    A model that starts from another, or follows it, is made after that one and from it, if both are asked for; else
    from the one that ships. A worker writes its own file, so that those of a cluster must see the folder.

    Arguments:
        names: keys of `RECIPES`; all of them by default.
        folder: where to write.
        jobs: as in `run_all`.
        backend: as in `run_all`.
        scheduler: as in `run_all`.
        shard: "i/n" for the i-th of n calls that share the work; children go with their parents.
        resume: keep what the folder holds of the same recipe, and make the rest.
        progress: show a bar of the runs.

    Returns:
        the files that were made, in the order in which they were done.

    Raises:
        ValueError: a name without a recipe, a folder that takes no file, or what `run_all` refuses.
    """
    names = list(RECIPES if names is None else dict.fromkeys(names))
    if unknown := sorted(set(names) - set(RECIPES)):
        raise ValueError(f"no recipe for {', '.join(unknown)}; there are recipes for {', '.join(RECIPES)}")
    families = _families(names)
    chosen = set(take_shard(sorted(set(families.values())), shard))
    names = [name for name in names if families[name] in chosen]
    paths = {name: check_path(Path(folder) / f"{name}.safetensors", writable=True) for name in names}
    order = TopologicalSorter({name: set(RECIPES[name].parents) & set(names) for name in names})
    order.prepare()
    made = []
    with tqdm(total=len(names), desc="checkpoints", disable=None if progress else True) as bar:
        while order.is_active():
            ready = list(order.get_ready())
            kept = [name for name in ready if resume and _is_there(RECIPES[name], paths[name])]
            wave = {
                name: (
                    RECIPES[name],
                    paths[name],
                    {parent: paths.get(parent, parent) for parent in RECIPES[name].parents},
                )
                for name in ready
                if name not in kept
            }
            bar.update(len(kept))
            for _, path in run_all(_make, wave, n_jobs=jobs, backend=backend, scheduler=scheduler):
                made.append(path)
                bar.update()
            order.done(*ready)
    return made


def verify(names: list[str] | None = None, *, folder: str | Path = SHIPPED, progress: bool = True) -> list[dict]:
    r"""Measure checkpoints of a folder afresh, and hold the figures against those that the shipped ones state.

    .. math:: |\text{here} - \text{shipped}| \le \text{tolerance} + 4\, \mathrm{se}

    Accuracy for Part I (1000 tasks, tolerance 0.01), the loss for Part II (4000 chains, tolerance 0.02): so far apart
    may two trainings on different processors end.

    Arguments:
        names: keys of `RECIPES`; by default `HEADLINES`.
        folder: where the checkpoints are.
        progress: show a bar.

    Returns:
        a row each: name, figure, shipped, here, the whole allowance, and whether it is within.

    Raises:
        ValueError: a name without a recipe, or a file that is damaged or of another recipe.
        FileNotFoundError: a checkpoint that is not there.

    Example:
        >>> [row["within"] for row in verify(["four-0", "joint-0"], progress=False)]
        [True, True]
    """
    names = list(HEADLINES if names is None else names)
    if unknown := sorted(set(names) - set(RECIPES)):
        raise ValueError(f"no recipe for {', '.join(unknown)}")
    rows = []
    for name in tqdm(names, desc="verify", disable=None if progress else True):
        path, recipe = Path(folder) / f"{name}.safetensors", RECIPES[name]
        model, stated = load(path), describe(name)["about"]["evaluation"]
        if not _is_there(recipe, path):
            raise ValueError(f"{path} was made from another recipe")
        if isinstance(recipe, recipes.Recipe):
            figure, tolerance = "accuracy", 0.01
            report = evaluate(model, recipe.task if isinstance(recipe.task, LinearTask) else LinearTask(), n_tasks=1000)
            here, error = report.accuracy, report.accuracy_se
        else:
            figure, tolerance = "loss", 0.02
            chains = recipe.task.sample(4000, seed=1)
            here, error = loss(predict_chains(model, chains), chains.answer)
        allowed = tolerance + 4 * error
        within = abs(here - stated[figure]) <= allowed
        rows.append(
            {"name": name, "figure": figure, "shipped": stated[figure], "here": here, "allowed": allowed}
            | {"within": within}
        )
    return rows


def _families(names: list[str]) -> dict[str, str]:
    """For each name the first of those that it hangs together with, as parent, child or a child's other parent."""
    family = {name: name for name in names}
    for name in names:
        kin = {family[other] for other in (name, *RECIPES[name].parents) if other in family}
        family = {other: min(kin) if first in kin else first for other, first in family.items()}
    return family


def _is_there(recipe: recipes.Recipe | induction.Recipe, path: Path) -> bool:
    """Whether the file is whole and of this recipe."""
    sweep_up(path)
    try:
        stored = describe(path)["about"].get("recipe")
    except (FileNotFoundError, ValueError):
        return False
    asked = json.loads(json.dumps(asdict(recipe)))
    return isinstance(stored, dict) and stored == {key: asked[key] for key in asked if key in stored or asked[key]}


def _make(recipe: recipes.Recipe | induction.Recipe, path: Path, parents: dict[str, str | Path]) -> Path:
    """Follow one recipe and save what comes of it."""
    model, history, about = recipe.make(lambda name: load(parents[name]))
    save(model, path, history, **about)
    return path
