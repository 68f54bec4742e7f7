"""Training on tasks that are drawn on the fly, with the symmetry imposed or not."""

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from icl_nb.checks import check_count, check_seed
from icl_nb.descent import Descent, DivergenceError, add_up, agree, my_part
from icl_nb.models.attention import InContextTransformer, check_levels
from icl_nb.models.files import check_path
from icl_nb.models.state import Run, patience, sweep_up
from icl_nb.tasks.batch import Task

SYMMETRIES = (None, "injection", "projection")


@dataclass(frozen=True, repr=False)
class History:
    """What a training run saw, an entry a step: loss and accuracy on that step's fresh tasks, the learning rate.

    The seconds are those of this process: a run that was resumed has spent others before.
    """

    loss: list[float]
    accuracy: list[float]
    learning_rate: list[float]
    seconds: float

    def __repr__(self) -> str:
        last = f", last loss {self.loss[-1]:.4f}, accuracy {self.accuracy[-1]:.4f}" if self.loss else ""
        return f"History({len(self.loss)} steps{last})"


def train(
    model: InContextTransformer,
    task: Task,
    *,
    steps: int = 4000,
    batch_size: int = 96,
    seed: int = 0,
    n_queries: int = 16,
    learning_rate: float = 1e-2,
    symmetry: str | None = None,
    read_after: Sequence[int] = (),
    progress: bool = True,
    on_step: Callable[[int, InContextTransformer], None] | None = None,
    resume: str | Path | None = None,
    every: int = 100,
) -> History:
    r"""Train a model in place by Adam on the cross-entropy of the queries, every batch fresh.

    The learning rate follows one cycle, see `Descent`. Under `torchrun` each process works on its part of every batch,
    and all make the steps of one.

    Arguments:
        model: trained where it is, in its dtype and on its device.
        task: draws the batches. Where they are of another size than the model, or of many, it must be an equivariant
            one.
        steps: optimiser steps.
        batch_size: tasks a step.
        seed: of the tasks (and of the group elements of an injection).
        n_queries: queries a task. They share the context, so that more of them cost little and teach much.
        learning_rate: the peak.
        symmetry: None trains the weights as they are. "injection" wraps a fresh random block permutation around each
            layer at every step, :math:`\Pi^T A \Pi`; in an `OrdinaryTransformer` around each linear map, and for each
            task another one. "projection" replaces the weights by their group average after every step. Both are for
            dense and for ordinary models.
        read_after: layers, counted from 1, whose answers count in the loss beside those of the last, each as much.
        progress: show a bar.
        on_step: called with the number of steps done and the model, before the first step and after each.
        resume: a .safetensors file that keeps the state of the run, written as it goes and on Ctrl-C. Where it is there
            already the run goes on from it, and ends as if it had never been broken off, to the last bit on the same
            machine. It must be the same call, on a model of the same shape.
        every: steps between two such writings.

    Raises:
        ValueError: an argument is out of range, the task does not fit the model, or the file cannot be written or
            holds another run.
        DivergenceError: the loss ceases to be finite; the file keeps the last state that was written before.
        KeyboardInterrupt: Ctrl-C; where there is a file, once the step is done and the state is written.

    Source: own; imposing the symmetry during training follows paper A (arXiv 2604.11613), abstract.

    Example:
        >>> from icl_nb import EquivariantTransformer, LinearTask
        >>> history = train(EquivariantTransformer(depth=2), LinearTask(), steps=3, progress=False)
        >>> len(history.loss)
        3
    """
    batch_size, n_queries = check_count("batch_size", batch_size, 1), check_count("n_queries", n_queries, 1)
    if symmetry not in SYMMETRIES:
        raise ValueError(f"symmetry={symmetry!r}; it must be one of {SYMMETRIES}")
    check_count("every", every, 1)
    check_levels(read_after, model.depth)
    seed = check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    curves = {"loss": [], "accuracy": [], "learning_rate": []}
    descent = Descent(model.parameters(), steps, learning_rate, shared=True)
    mine = my_part(batch_size)
    weight = (mine.stop - mine.start) / batch_size
    arguments = {"model": repr(model), "dtype": str(model.dtype), "task": repr(task), "symmetry": symmetry} | {
        "steps": descent.steps, "learning_rate": descent.learning_rate, "batch_size": batch_size, "seed": seed,
        "n_queries": n_queries,
    } | ({"read_after": list(read_after)} if read_after else {})  # fmt: skip
    run = Run(model, descent, generator, curves, arguments)
    if resume is not None:
        resume = check_path(resume, writable=True)  # now, not after a hundred steps
        sweep_up(resume)
        if resume.exists():
            run.restore(resume)
    agree(model.parameters())
    kept, stop, noted = descent.done, False, []

    def loss_of(step: int) -> Tensor:
        nonlocal stop
        batch = task.sample(batch_size, seed=generator, n_queries=n_queries, dtype=model.dtype, device=model.device)
        reader = model.at(batch.x.shape[2], batch.n_classes, share=True)
        injected = model.injection(batch_size, generator) if symmetry == "injection" else {}
        if weight < 1:  # what an injection gives for each task is a tensor, what it gives for all is not
            batch = batch[mine]
            injected = {name: part[mine] if isinstance(part, Tensor) else part for name, part in injected.items()}
        try:
            logits = reader.answers(batch.x, batch.context_y, read_after, **injected)  # (R, B, q, K)
        except ValueError as error:
            if step == 0:
                raise
            raise DivergenceError(f"at step {step} {error}; try a learning rate below {learning_rate}", step) from None
        logits = logits.reshape(len(logits), -1, batch.n_classes)
        answers = batch.query_y.reshape(-1)
        share = (logits[-1].argmax(-1) == answers).double().mean() * weight
        (sums,) = add_up([torch.stack([share, torch.full_like(share, len(noted))])])  # all stop together, or none
        accuracy, stop = sums.tolist()
        curves["accuracy"].append(accuracy)
        return nn.functional.cross_entropy(logits.flatten(0, 1), answers.repeat(len(logits))) * weight

    if symmetry == "projection":
        copy.deepcopy(model).symmetrise_()  # to be refused now, and not after a step
    started = time.perf_counter()
    if on_step:
        on_step(descent.done, model)
    try:
        with patience() if resume else nullcontext(noted) as noted:
            for loss, rate in descent.run(loss_of, progress=progress):
                if symmetry == "projection":
                    model.symmetrise_()
                curves["loss"].append(loss)
                curves["learning_rate"].append(rate)
                if on_step:
                    on_step(descent.done, model)
                if resume and (stop or descent.done % every == 0 or descent.done == steps):
                    run.save(resume)
                    kept = descent.done
                if stop:
                    raise KeyboardInterrupt
    except DivergenceError as error:
        where = f"; {resume} keeps the state after step {kept}" if resume and kept else ""
        raise DivergenceError(f"{error}. The same call with seed={seed} comes to it again{where}", error.step) from None
    return History(**curves, seconds=time.perf_counter() - started)
