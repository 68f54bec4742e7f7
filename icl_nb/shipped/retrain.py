"""All checkpoints that ship, and how they are made again."""

from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from graphlib import TopologicalSorter
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from icl_nb.checks import check_count
from icl_nb.models.files import SHIPPED, check_path, load, save
from icl_nb.shipped import induction, recipes

RECIPES: dict[str, recipes.Recipe | induction.Recipe] = recipes.RECIPES | induction.RECIPES


def retrain(
    names: list[str] | None = None, *, folder: str | Path = SHIPPED, jobs: int = 2, progress: bool = True
) -> list[Path]:
    """Re-create shipped checkpoints from their recipes, several processes side by side.

    A model that starts from another, or follows it, is made after that one and from it, if both are asked for; else
    from the one that ships.

    Arguments:
        names: keys of `RECIPES`; all of them by default.
        folder: where to write.
        jobs: processes.
        progress: show a bar of the runs.

    Returns:
        the files, in the order in which they were done.

    Raises:
        ValueError: a name without a recipe, fewer than 1 process, or a folder that takes no file.
    """
    check_count("jobs", jobs, 1)
    names = list(RECIPES if names is None else dict.fromkeys(names))
    if unknown := sorted(set(names) - set(RECIPES)):
        raise ValueError(f"no recipe for {', '.join(unknown)}; there are recipes for {', '.join(RECIPES)}")
    paths = {name: check_path(Path(folder) / f"{name}.safetensors", writable=True) for name in names}
    order = TopologicalSorter({name: set(RECIPES[name].parents) & set(names) for name in names})
    order.prepare()
    made, running = [], {}
    # Fresh processes: a fork of one that has threads (torch's, a progress bar's) may hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        with tqdm(total=len(names), desc="checkpoints", disable=None if progress else True) as bar:
            while order.is_active():
                for name in order.get_ready():
                    parents = {parent: paths.get(parent, parent) for parent in RECIPES[name].parents}
                    running[pool.submit(_make, RECIPES[name], paths[name], parents)] = name
                for run in wait(running, return_when=FIRST_COMPLETED).done:
                    made.append(run.result())
                    order.done(running.pop(run))
                    bar.update()
    except BaseException:  # Ctrl-C among them: a training that nobody waits for is ended, and none is begun
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return made


def _make(recipe: recipes.Recipe | induction.Recipe, path: Path, parents: dict[str, str | Path]) -> Path:
    """Follow one recipe and save what comes of it."""
    model, history, about = recipe.make(lambda name: load(parents[name]))
    save(model, path, history, **about)
    return path
