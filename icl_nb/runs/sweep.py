"""Trainings over a grid of configurations: one small file a result, named for what it is the result of."""

import hashlib
import inspect
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from icl_nb.checks import check_count, check_device
from icl_nb.descent import DivergenceError
from icl_nb.evaluation.scores import evaluate
from icl_nb.models.attention import InContextTransformer
from icl_nb.models.files import KINDS, write_whole
from icl_nb.models.training import train
from icl_nb.runs.engine import run_all, take_shard
from icl_nb.tasks.linear import LinearTask

_FORMAT = "icl-nb sweep 1"


def name_of(configuration: dict) -> str:
    """The name of a configuration: 16 hexadecimal digits of its SHA-256, whatever the order of its entries.

    Arguments:
        configuration: what JSON can hold.

    Raises:
        ValueError: it holds what JSON cannot.

    Example:
        >>> name_of({"depth": 2, "seed": 0}) == name_of({"seed": 0, "depth": 2}) != name_of({"depth": 2, "seed": 1})
        True
    """
    try:
        text = json.dumps(configuration, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a configuration must be finite numbers, text, lists and dicts: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sweep(
    configurations: list[dict],
    *,
    folder: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    shard: str | None = None,
    progress: bool = True,
) -> list[dict]:
    """Train and evaluate each configuration once: a second call computes only what is missing.

    Arguments:
        configurations: `kind`, and keyword arguments for `model` (of the class), `task` (of `LinearTask`), `training`
            (of `train`), `n_tasks` to evaluate on, and `device`; all as JSON holds them.
        folder: where results are kept, `<name_of>.json` each, whole or not at all. None keeps none.
        jobs: as in `run_all`.
        backend: as in `run_all`.
        scheduler: as in `run_all`.
        shard: "i/n" for the i-th of n calls that share the work.
        progress: show a bar.

    Returns:
        the result of each configuration of the shard, in their order: as `run_configuration` gives it.

    Raises:
        ValueError: a configuration that cannot be, found before any training; a folder that takes no file or holds a
            damaged one; or what `run_all` refuses.

    Example:
        >>> one = {"kind": "equivariant", "model": {"depth": 1}, "training": {"steps": 2}, "n_tasks": 10}
        >>> [result["n_tasks"] for result in sweep([one], progress=False)]
        [10]
    """
    wanted = {name_of(configuration): configuration for configuration in configurations}
    for configuration in wanted.values():
        _build(configuration)
    order = take_shard([name_of(configuration) for configuration in configurations], shard)
    results: dict[str, Any] = {}
    if folder is not None:
        folder = _writable(folder)
        results = {name: kept for name in order if (kept := _read(folder / f"{name}.json", wanted[name])) is not None}
    missing = {name: (wanted[name],) for name in order if name not in results}
    found = run_all(run_configuration, missing, n_jobs=jobs, backend=backend, scheduler=scheduler)
    with tqdm(
        total=len(order), initial=len(order) - len(missing), desc="sweep", disable=None if progress else True
    ) as bar:
        for name, result in found if missing else ():
            results[name] = result
            if folder is not None:
                content = {"format": _FORMAT, "configuration": wanted[name], "result": result}
                try:
                    write_whole(folder / f"{name}.json", (json.dumps(content, indent=1) + "\n").encode())
                except OSError as error:
                    raise ValueError(f"{folder} takes no file: {error}") from None
            bar.update()
    return [results[name] for name in order]


def run_configuration(configuration: dict) -> dict:
    """Train and evaluate one: its number of parameters, its seconds, and the `Report`; or `error` where it diverges.

    Arguments:
        configuration: as in `sweep`.

    Raises:
        ValueError: it is no configuration.

    Example:
        >>> wild = {"kind": "equivariant", "model": {}, "training": {"steps": 3, "learning_rate": 1e30}, "n_tasks": 10}
        >>> run_configuration(wild)["error"][:9]
        'at step 1'
    """
    model, task = _build(configuration)
    try:
        history = train(model, task, **configuration["training"], progress=False)
    except DivergenceError as error:
        return {"error": str(error)}
    report = evaluate(model, task, n_tasks=configuration["n_tasks"])
    parameters = sum(part.numel() for part in model.parameters())
    return {"parameters": parameters, "seconds": round(history.seconds, 1), **asdict(report)}


def _build(configuration: dict) -> tuple[InContextTransformer, LinearTask]:
    try:
        task = LinearTask(**configuration.get("task", {}))
        kind = KINDS[configuration["kind"]]
        model = kind(task.n_features, task.n_classes, **configuration["model"])
        check_count("n_tasks", configuration["n_tasks"], 2)
        check_count("steps", configuration["training"].get("steps", 1), 1)
        inspect.signature(train).bind(model, task, **configuration["training"])
    except (AttributeError, KeyError, TypeError) as error:
        why = " ".join(str(error).splitlines())  # Python names an unknown argument as it is, line breaks and all
        raise ValueError(f"{configuration} is no configuration: {why}") from None
    device = configuration.get("device", "cpu")
    check_device(device)
    return model.to(device), task


def _writable(folder: str | Path) -> Path:
    """The folder, made where it is not, once a file was made in it: now, and not after the first training.

    Raises:
        ValueError: no file can be made there.
    """
    if not str(folder):
        raise ValueError("the folder has no name")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} takes no file: {error}") from None
    return Path(folder)


def _read(path: Path, configuration: dict) -> dict | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, remove it: {' '.join(str(error).split())}") from None
    parts = content if isinstance(content, dict) else {}
    if parts.get("format") != _FORMAT or parts.get("configuration") != configuration:
        raise ValueError(f"{path} is not the result of its configuration; remove it")
    if not isinstance(parts.get("result"), dict):
        raise ValueError(f"{path} is damaged, remove it: it holds no result")
    return parts["result"]
