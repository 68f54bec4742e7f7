"""The command `icl-nb`: it parses, calls the package, and prints. `python -m icl_nb` is the same."""

import argparse
import itertools
import json
import os
import re
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import icl_nb
from icl_nb.checks import check_count, check_device
from icl_nb.descent import join, leave, rank
from icl_nb.evaluation.baselines import BASELINES
from icl_nb.evaluation.scores import evaluate, predict, score
from icl_nb.evaluation.survey import yardstick
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import SHIPPED, available, check_path, describe, load, save
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.models.training import SYMMETRIES, train
from icl_nb.runs.bench import PARTS, bench
from icl_nb.runs.engine import BACKENDS, take_shard
from icl_nb.runs.sweep import sweep
from icl_nb.shipped import retrain as checkpoints
from icl_nb.tasks.linear import LinearTask

KINDS = {"dense": DenseTransformer, "equivariant": EquivariantTransformer, "ordinary": OrdinaryTransformer}


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 where it went well, 1 where nothing was proved, 2 where the input was wrong and one line says
    what, 130 after Ctrl-C.

    Raises:
        RuntimeError: of what should not be; a traceback then helps more than a line.
    """
    options = _parser().parse_args(arguments)
    # The matrices here are small: a second thread gains nothing, and where other work holds the cores it slows a step a
    # hundredfold. Torch is loaded already; the variable is for the processes that `checkpoints` starts.
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)
    try:
        rows = options.run(options)
    except (ValueError, OSError) as error:
        print(f"icl-nb {options.command}: {error}", file=sys.stderr)
        return 2
    except (MemoryError, OverflowError) as error:
        return _too_large(options, error)
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # as torch says it
            raise
        return _too_large(options, error)
    except KeyboardInterrupt:
        print(f"icl-nb {options.command}: interrupted", file=sys.stderr)
        return 130  # as a shell says it
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    return getattr(options, "status", 0)


def run_train(options) -> list[dict]:
    if options.out is not None:
        check_path(options.out, writable=True)  # now, not after the training
    check_count("n_tasks", options.n_tasks, 2)
    options.device = join(options.device)
    try:
        model = _build(options, options.depth, options.heads, options.seed)
        task = _task(options)
        keep = {"resume": options.resume, "every": options.every}
        history = train(model, task, **_training(options), **keep, seed=options.seed, progress=not options.json)
        if rank():
            return []  # the first of the processes speaks for all
    finally:
        leave()
    report = evaluate(model, task, n_tasks=options.n_tasks)
    if options.out:
        curves = {name: getattr(history, name) for name in ("loss", "accuracy", "learning_rate")}
        save(
            model,
            options.out,
            curves,
            task=asdict(task),
            training=_training(options) | {"seed": options.seed},
            evaluation=asdict(report),
        )
    return [{"model": str(options.out or options.kind), "seconds": round(history.seconds, 1), **asdict(report)}]


def run_evaluate(options) -> list[dict]:
    """The model beside the oracle and the baselines, on the same tasks."""
    model = load(options.checkpoint, device=options.device)
    for name in ("n_features", "n_classes"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(model, name))
    batch = _task(options).sample(options.n_tasks, seed=options.seed, n_queries=options.n_queries)
    model = model.at(batch.x.shape[2], batch.n_classes)

    predictors = {options.checkpoint: lambda: predict(model, batch)}
    if options.baselines:
        predictors |= {name: lambda name=name: yardstick(batch, name) for name in ("bayes", *BASELINES)}
    rows = []
    for name, call in tqdm(predictors.items(), desc="evaluate", disable=True if options.json else None):
        started = time.perf_counter()
        report = score(call(), batch)
        rows.append({"model": name, "seconds": round(time.perf_counter() - started, 1), **asdict(report)})
    return rows


def run_bench(options) -> list[dict]:
    """Time the package beside its peers and against the machine; see `icl_nb.runs.bench`."""
    parts = PARTS if options.parts is None else tuple(options.parts)
    rows = bench(parts, rounds=options.repeats, device=options.device)
    return list(tqdm(rows, desc="bench", unit="row", disable=True if options.json else None))


def run_sweep(options) -> list[dict]:
    """Train every combination of depth, heads and seed; one row each."""
    check_count("n_tasks", options.n_tasks, 2)
    grid = list(itertools.product(options.depths, options.head_counts, options.seeds))
    scalars = {} if options.scalars is None else {"scalars": options.scalars}
    configurations = []
    for depth, heads, seed in grid:
        _build(options, depth, heads, seed)  # to be refused now, and in the words of the command
        configurations.append(
            {
                "kind": options.kind,
                "model": {"depth": depth, "heads": heads, "seed": seed} | scalars,
                "task": asdict(_task(options)),
                "training": _training(options) | {"seed": seed},
                "n_tasks": options.n_tasks,
                "device": options.device,
            }
        )
    places = take_shard(list(range(len(grid))), options.shard)
    results = sweep(
        [configurations[place] for place in places], folder=options.out, **_engine(options), progress=not options.json
    )
    return [
        {"depth": grid[place][0], "heads": grid[place][1], "seed": grid[place][2], **result}
        for place, result in zip(places, results, strict=True)
    ]


def run_checkpoints(options) -> list[dict]:
    """List the shipped checkpoints, or re-create them from their recipes, or verify them.

    Raises:
        ValueError: figures that are further from those of the shipped ones than allowed.
    """
    folder = Path(options.folder or SHIPPED)
    parts = (1, 2) if options.part is None else (options.part,)
    names = options.names
    if options.verify:
        rows = checkpoints.verify(names or None, folder=folder, progress=not options.json)
        if wrong := [row for row in rows if not row["within"]]:
            said = ", ".join(f"{row['name']} {row['here']:.4f} for {row['shipped']:.4f}" for row in wrong)
            raise ValueError(f"further from the shipped figures than allowed: {said}")
        return rows
    if options.retrain:
        names = names or [name for name, recipe in checkpoints.RECIPES.items() if recipe.part in parts]
        chosen: dict[str, Any] = {"folder": folder, "shard": options.shard, "resume": options.resume}
        checkpoints.retrain(names, **chosen, **_engine(options), progress=not options.json)
        names = [name for name in names if (folder / f"{name}.safetensors").exists()]  # those of other shards may not
    else:
        names = names or [name for name in available() if checkpoints.RECIPES[name].part in parts]
    rows = []
    for name in names:
        content = describe(folder / f"{name}.safetensors" if options.retrain else name)
        about, config = content["about"], content["config"]
        size = {key: config[key] for key in ("depth", "heads") if key in config}
        seconds = about["training"]["seconds"] if "training" in about else about["seconds"]
        rows.append({"name": name, "kind": content["kind"], **size, "training_seconds": seconds, **about["evaluation"]})
    return rows


def run_certify(options) -> list[dict]:
    """The theorem about a table, with its numbers; where there is none, the status of the command is 1."""
    from icl_nb.interpret import certificate  # here, so that no other command loads what the ball arithmetic needs
    from icl_nb.recursion import Recursion

    recursion = Recursion.from_model(load(options.checkpoint))
    given = {"n_features": options.n_features, "cut": options.cut, "reach": options.reach, "bits": options.bits}
    try:
        found = certificate.certify(recursion, **given)
    except certificate.InconclusiveError as error:
        options.status = 1
        return [{"table": options.checkpoint, "verdict": "inconclusive", "why": str(error), **given}]
    options.status = int(found.verdict != "proved")
    if options.json:
        return [{"table": options.checkpoint, **asdict(found)}]
    dropped = 0.0 if recursion.dropped is None else float(recursion.dropped.max())
    print(certificate.theorem(found, options.checkpoint))
    if dropped:
        print(f"It is about the recursion read off the model, which drops up to {100 * dropped:.0f} % of a layer.")
    names = ("growth", "mean", "spread", "label", "separation")
    return [
        {"layer": t} | {name: f"[{value.low:.9f}, {value.high:.9f}]" for name, value in zip(names, row, strict=True)}
        for t, row in enumerate(zip(*(getattr(found, name) for name in names), strict=True))
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="icl-nb", description="In-context classification by transformers, opened up.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {icl_nb.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, help):
        sub = commands.add_parser(
            name, help=help, description=help, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print JSON and draw no bar")
        return sub

    sub = command("train", run_train, "train one model and evaluate it")
    _add_task(sub)
    _add_model(sub)
    _add_training(sub)
    sub.add_argument("--depth", type=_whole, default=8, help="layers L")
    sub.add_argument("--heads", type=_whole, default=1, help="heads a layer, H")
    sub.add_argument("--seed", type=_whole, default=0, help="of the weights and of the tasks")
    sub.add_argument("--n-tasks", type=_whole, default=8000, help="tasks to evaluate on")
    sub.add_argument("--out", help="write the model to this .safetensors file")
    sub.add_argument("--resume", help="keep the state of the run in this .safetensors file, and go on from it")
    sub.add_argument("--every", type=_whole, default=100, help="steps between two writings of the state")

    sub = command("evaluate", run_evaluate, "evaluate a checkpoint, beside the oracle and the baselines if asked")
    sub.add_argument("checkpoint", help="a name that `icl-nb checkpoints` lists, or a .safetensors file")
    _add_task(sub)
    sub.set_defaults(n_features=None, n_classes=None)  # those of the checkpoint
    sub.add_argument("--n-tasks", type=_whole, default=8000, help="tasks to evaluate on")
    sub.add_argument("--n-queries", type=_whole, default=16, help="queries a task")
    sub.add_argument("--seed", type=_whole, default=1, help="of the tasks")
    sub.add_argument("--baselines", action="store_true", help="add the Bayes oracle and the classical baselines")
    sub.add_argument("--device", default="cpu", help="cpu, cuda, ...")

    sub = command("bench", run_bench, "time the package beside its peers, and against what the machine can do")
    sub.add_argument("--parts", nargs="+", choices=PARTS, help="what to time; all by default")
    sub.add_argument("--repeats", type=_whole, default=9, help="turns of each contender")
    sub.add_argument("--device", default="cpu", help="cpu, cuda, ...")

    sub = command("sweep", run_sweep, "train over a grid of depths, heads and seeds")
    _add_task(sub)
    _add_model(sub)
    _add_training(sub)
    sub.add_argument("--depths", type=_whole, nargs="+", default=[4, 8, 16], help="layers")
    sub.add_argument("--head-counts", type=_whole, nargs="+", default=[1], help="heads a layer")
    sub.add_argument("--seeds", type=_whole, nargs="+", default=[0], help="seeds")
    sub.add_argument("--n-tasks", type=_whole, default=4000, help="tasks to evaluate on")
    sub.add_argument("--out", help="keep each result as a file in this folder; what is there is not computed again")
    _add_engine(sub, jobs=1)

    sub = command("checkpoints", run_checkpoints, "list the shipped checkpoints, or re-create them")
    sub.add_argument("names", nargs="*", metavar="NAME", help="which; all by default")
    sub.add_argument("--retrain", action="store_true", help="re-create them from their recipes")
    sub.add_argument("--verify", action="store_true", help="measure them afresh, against what the shipped ones state")
    sub.add_argument("--folder", help="of the retrained checkpoints; by default where they ship")
    sub.add_argument(
        "--part", type=_whole, choices=(1, 2), help="of the book: 1 classifies, 2 continues chains; by default both"
    )
    sub.add_argument("--resume", action="store_true", help="keep what the folder holds of the same recipe")
    _add_engine(sub, jobs=2)

    sub = command("certify", run_certify, "prove what a table does with two classes and points without end")
    sub.add_argument("checkpoint", help="a name that `icl-nb checkpoints` lists, or a .safetensors file")
    sub.add_argument("--n-features", type=_whole, default=5, help="features d, for the separation")
    sub.add_argument("--cut", type=float, default=8.0, help="standard deviations within which points are normal")
    sub.add_argument("--reach", type=float, default=6.0, help="distance from the border up to which queries are judged")
    bits = "of the ball arithmetic, where floats do not decide; 53: floats alone"
    sub.add_argument("--bits", type=_whole, default=120, help=bits)
    return parser


def _too_large(options, error: Exception) -> int:
    said = " ".join(str(error).split()) or type(error).__name__
    print(f"icl-nb {options.command}: too large for this machine: {said}", file=sys.stderr)
    return 2


def _whole(text: str) -> int:
    """A whole number, and none that is beyond every count and seed.

    Raises:
        ArgumentTypeError: it is too large.
        ValueError: it is none.
    """
    value = int(text)
    if abs(value) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text[:20]} is beyond 2**31 - 1")
    return value


_whole.__name__ = "int"  # so that argparse speaks of an "invalid int value"


def _add_task(sub) -> None:
    said = re.findall(r"^ {8}(\w+): (.*?)(?=\n {8}\w|\n\n)", LinearTask.__doc__ or "", re.MULTILINE | re.DOTALL)
    about = {name: " ".join(text.split()).rstrip(".") for name, text in said}
    for option in fields(LinearTask):
        flag = "--" + option.name.replace("_", "-")
        kind = _whole if type(option.default) is int else type(option.default)
        sub.add_argument(flag, type=kind, default=option.default, help=about[option.name])


def _add_model(sub) -> None:
    sub.add_argument("--kind", choices=KINDS, default="equivariant", help="what the weights may be")
    sub.add_argument("--scalars", type=_whole, choices=(4, 12), help="scalars a head of an equivariant model (12)")
    sub.add_argument("--device", default="cpu", help="cpu, cuda, ...")


def _add_training(sub) -> None:
    sub.add_argument("--steps", type=_whole, default=4000, help="optimiser steps")
    sub.add_argument("--batch-size", type=_whole, default=96, help="tasks a step")
    sub.add_argument("--train-queries", type=_whole, default=16, help="queries a task in training")
    sub.add_argument("--learning-rate", type=float, default=1e-2, help="its peak")
    sub.add_argument(
        "--symmetry", choices=[s for s in SYMMETRIES if s], help="impose it on dense weights while training"
    )


def _add_engine(sub, jobs: int) -> None:
    sub.add_argument("--jobs", type=_whole, default=jobs, help="processes side by side")
    sub.add_argument("--backend", choices=BACKENDS, default="loky", help="this machine, or a cluster")
    sub.add_argument("--scheduler", help="address of Dask's scheduler, tcp://host:port")
    sub.add_argument("--shard", help="i/n: the i-th of n calls that share the work, from 1 on")


def _engine(options) -> dict:
    return {name: getattr(options, name) for name in ("jobs", "backend", "scheduler")}


def _task(options) -> LinearTask:
    return LinearTask(**{option.name: getattr(options, option.name) for option in fields(LinearTask)})


def _build(options, depth: int, heads: int, seed: int):
    check_device(options.device)
    extra = {} if options.scalars is None else {"scalars": options.scalars}
    if extra and options.kind != "equivariant":
        raise ValueError(f"--scalars {options.scalars} is of equivariant models, and --kind is {options.kind}")
    model = KINDS[options.kind](options.n_features, options.n_classes, depth, heads, seed=seed, **extra)
    return model.to(options.device)


def _training(options) -> dict:
    names = ("steps", "batch_size", "learning_rate", "symmetry")
    return {name: getattr(options, name) for name in names} | {"n_queries": options.train_queries}


def _print_table(rows: list[dict]) -> None:
    """A row a line; rows need not have the same columns, and what one lacks stays empty."""
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        [f"{row[name]:.4f}" if isinstance(row.get(name), float) else str(row.get(name, "")) for name in columns]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
