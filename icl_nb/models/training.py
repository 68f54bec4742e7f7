"""Training on tasks that are drawn on the fly, with the symmetry imposed or not."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from icl_nb.checks import check_count, check_seed
from icl_nb.descent import descend
from icl_nb.models.attention import InContextTransformer
from icl_nb.tasks.batch import Task

SYMMETRIES = (None, "injection", "projection")


@dataclass(frozen=True)
class History:
    """What a training run saw, an entry a step: loss and accuracy on that step's fresh tasks, the learning rate."""

    loss: list[float]
    accuracy: list[float]
    learning_rate: list[float]
    seconds: float


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
    progress: bool = True,
    on_step: Callable[[int, InContextTransformer], None] | None = None,
) -> History:
    r"""Train a model in place by Adam on the cross-entropy of the queries, every batch fresh.

    The learning rate follows one cycle, see `descend`.

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
        progress: show a bar.
        on_step: called with the number of steps done and the model, before the first step and after each.

    Raises:
        ValueError: an argument is out of range, the task does not fit the model, or the loss ceases to be finite.

    Source: own; imposing the symmetry during training follows paper A (arXiv 2604.11613), abstract.

    Example:
        >>> from icl_nb import EquivariantTransformer, LinearTask
        >>> history = train(EquivariantTransformer(depth=2), LinearTask(), steps=3, progress=False)
        >>> len(history.loss)
        3
    """
    check_count("batch_size", batch_size, 1)
    check_count("n_queries", n_queries, 1)
    if symmetry not in SYMMETRIES:
        raise ValueError(f"symmetry={symmetry!r}; it must be one of {SYMMETRIES}")
    generator = torch.Generator().manual_seed(check_seed(seed))
    losses, accuracies, rates = [], [], []

    def loss_of(step: int) -> Tensor:
        batch = task.sample(batch_size, seed=generator, n_queries=n_queries, dtype=model.dtype, device=model.device)
        reader = model.at(batch.x.shape[2], batch.n_classes, share=True)
        injected = model.injection(batch_size, generator) if symmetry == "injection" else {}
        logits = reader(batch.x, batch.context_y, **injected).reshape(-1, batch.n_classes)
        answers = batch.query_y.reshape(-1)
        accuracies.append((logits.argmax(-1) == answers).double().mean().item())
        return nn.functional.cross_entropy(logits, answers)

    if symmetry == "projection":
        copy.deepcopy(model).symmetrise_()  # to be refused now, and not after a step
    started = time.perf_counter()
    if on_step:
        on_step(0, model)
    for loss, rate in descend(model.parameters(), steps, learning_rate, loss_of, progress=progress):
        if symmetry == "projection":
            model.symmetrise_()
        losses.append(loss)
        rates.append(rate)
        if on_step:
            on_step(len(losses), model)
    return History(losses, accuracies, rates, time.perf_counter() - started)
