"""Training on tasks that are drawn on the fly, with the symmetry imposed or not."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from icl_nb.models import DenseTransformer, EquivariantTransformer, InContextTransformer
from icl_nb.ordinary import OrdinaryTransformer
from icl_nb.symmetry import conjugate, project, random_element
from icl_nb.tasks import LinearTask, MixedTask, check_count, check_seed

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
    task: LinearTask | MixedTask,
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

    The learning rate follows one cycle: up over the first 30 % of the steps, down to nothing by the last; Adam's beta_1
    goes the other way, from 0.95 to 0.85 and back.

    Arguments:
        model: trained where it is, in its dtype and on its device.
        task: draws the batches. Where they are of many sizes, a `MixedTask`, the model must be an equivariant one.
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
        >>> from icl_nb import EquivariantTransformer
        >>> history = train(EquivariantTransformer(depth=2), LinearTask(), steps=3, progress=False)
        >>> len(history.loss)
        3
    """
    check_count("steps", steps, 1)
    check_count("batch_size", batch_size, 1)
    check_count("n_queries", n_queries, 1)
    check_seed(seed)
    if symmetry not in SYMMETRIES:
        raise ValueError(f"symmetry={symmetry!r}; it must be one of {SYMMETRIES}")
    if symmetry and not isinstance(model, (DenseTransformer, OrdinaryTransformer)):
        raise ValueError(
            f"symmetry={symmetry!r} acts on dense weights; {type(model).__name__} has none to impose it on"
        )
    if not isinstance(learning_rate, (int, float)) or not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate={learning_rate!r}; it must be positive and finite")
    mixed = isinstance(task, MixedTask)
    if mixed and not isinstance(model, EquivariantTransformer):
        raise ValueError(
            f"a {type(model).__name__} has weights of one size; only coordinates can be trained on all sizes"
        )
    if not mixed and (task.n_features, task.n_classes) != (model.n_features, model.n_classes):
        raise ValueError(
            f"the task has d={task.n_features}, K={task.n_classes}; "
            f"the model reads d={model.n_features}, K={model.n_classes}"
        )
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    # One step more than is taken: at its very end the cycle has a rate of zero.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps + 1)
    losses, accuracies, rates = [], [], []
    started = time.perf_counter()
    if on_step:
        on_step(0, model)
    # None lets tqdm draw a bar only where a terminal shows it, and not at all where TQDM_DISABLE asks for silence.
    for step in tqdm(range(steps), desc="training", unit="step", disable=None if progress else True):
        batch = task.sample(batch_size, seed=generator, n_queries=n_queries, dtype=model.dtype, device=model.device)
        reader = model.resized(batch.x.shape[2], batch.n_classes, share=True) if mixed else model
        injected = {}
        if symmetry == "injection" and isinstance(model, OrdinaryTransformer):
            injected["orders"] = model.injection(batch_size, generator)
        elif symmetry == "injection":
            injected["weights"] = _injected(model, generator)
        logits = reader(batch.x, batch.context_y, **injected).reshape(-1, batch.n_classes)
        answers = batch.query_y.reshape(-1)
        loss = nn.functional.cross_entropy(logits, answers)
        if not loss.isfinite():
            raise ValueError(f"the loss is {loss.item()} at step {step}; try a learning rate below {learning_rate}")
        optimiser.zero_grad()
        loss.backward()
        if not nn.utils.clip_grad_norm_(model.parameters(), 1.0).isfinite():
            raise ValueError(f"the gradient overflows at step {step}; try a learning rate below {learning_rate}")
        optimiser.step()
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
        if symmetry == "projection" and isinstance(model, OrdinaryTransformer):
            model.symmetrise_()
        elif symmetry == "projection":
            with torch.no_grad():
                for part in (model.m, model.v):
                    part.copy_(project(part, model.n_features, model.n_classes))
        losses.append(loss.item())
        accuracies.append((logits.argmax(-1) == answers).double().mean().item())
        if on_step:
            on_step(step + 1, model)
    return History(losses, accuracies, rates, time.perf_counter() - started)


def _injected(model: DenseTransformer, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    elements = [random_element(model.n_features, model.n_classes, generator) for _ in range(model.depth)]
    orders = torch.stack(elements).to(model.device)
    return conjugate(model.m, orders), conjugate(model.v, orders)
