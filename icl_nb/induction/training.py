"""Training of the two models: plain gradient descent on fixed sequences, in stages or all at once, and Adam."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from icl_nb.checks import check_count, check_positive, check_seed
from icl_nb.descent import descend
from icl_nb.induction.models import FullInductionTransformer, InductionTransformer
from icl_nb.induction.tasks import LEAST_FORECAST, Chains, MarkovTask, histories, loss

PARTS = {"selector": "c", "heads": "w", "classifier": "a"}


@dataclass(frozen=True)
class Stage:
    """A stretch of training in which some parts move and the others rest.

    Arguments:
        parts: of "selector" (c), "heads" (w) and "classifier" (a).
        steps: of gradient descent.
        learning_rate: of all parts that move.

    Raises:
        ValueError: no part, an unknown or a repeated one, a count below 1, or a rate that is not positive and finite.
    """

    parts: tuple[str, ...]
    steps: int
    learning_rate: float

    def __post_init__(self):
        if not self.parts or len(set(self.parts)) < len(self.parts) or not set(self.parts) <= set(PARTS):
            raise ValueError(f"parts={self.parts}; they must be one or several of {', '.join(PARTS)}")
        check_count("steps", self.steps, 1)
        check_positive("learning_rate", self.learning_rate)


JOINT = (Stage(tuple(PARTS), 600, 1.0),)


# Every gradient of c and of w has the factor a, which is 0.01 until the last stage: their rates make up for it.
STAGED = (Stage(("selector",), 200, 100.0), Stage(("heads",), 400, 300.0), Stage(("classifier",), 600, 1.0))


@dataclass(frozen=True, eq=False)
class InductionHistory:
    """What a run of `train_induction` went through, at T recorded steps.

    Arguments:
        step: steps done, `(T,)`, from 0 on; dense at the start of each stage and sparser later.
        validation: loss on fresh sequences, `(T,)`.
        copying: attention of the first layer by lag, `(T, H, M)`.
        selection: weights of the subsets, `(T, n)`.
        sharpness: a, `(T,)`.
        seconds: of the whole run.
    """

    step: np.ndarray
    validation: np.ndarray
    copying: np.ndarray
    selection: np.ndarray
    sharpness: np.ndarray
    seconds: float


def train_induction(
    model: InductionTransformer,
    task: MarkovTask,
    stages: tuple[Stage, ...] = JOINT,
    *,
    seed: int = 0,
    n_sequences: int = 10_000,
    batch_size: int = 1000,
    n_validation: int = 4000,
    records: int = 40,
    second_softmax: bool = False,
    progress: bool = True,
) -> InductionHistory:
    r"""Train a model in place by plain gradient descent on :math:`-\log y`, with sequences that are drawn once.

    .. math:: \theta \leftarrow \theta - \eta\, \nabla_\theta \frac{1}{B} \sum_b -\log y_b(\text{answer}_b)

    The batches are taken in a fixed order, over and over. A thousand sequences give a gradient whose noise is small
    beside it, at a tenth of the cost of all; `batch_size=n_sequences` is gradient descent to the letter.
    Probabilities below `LEAST_FORECAST` count as that, as in `loss`, and teach nothing: the model cannot predict a
    state that the sequence does not hold.

    Arguments:
        model: trained where it is, in its dtype.
        task: draws the sequences.
        stages: `JOINT`, `STAGED`, or others.
        seed: of the training sequences. Those for validation come from `task.sample` and are never among them.
        n_sequences: in the training set.
        batch_size: divides it.
        n_validation: sequences for validation.
        records: of each stage, at most: the first and last step, and others spaced as powers between.
        second_softmax: descend `softmax_again` in place of :math:`-\log y`, as the public code of paper B does.
            Validation stays in nats of y.
        progress: show a bar.

    Raises:
        ValueError: an argument is out of range, the task does not fit the model, or the loss ceases to be finite.

    Source: paper B (arXiv 2409.10559), the training algorithm; joint training and all rates are our own.

    Example:
        >>> history = train_induction(InductionTransformer(), MarkovTask(), n_sequences=1000, progress=False,
        ...     stages=(Stage(("selector", "heads", "classifier"), 30, 4.0),))
        >>> bool(history.validation[-1] < history.validation[0])
        True
    """
    check_seed(seed)
    for name, count in (("n_sequences", n_sequences), ("batch_size", batch_size), ("records", records)):
        check_count(name, count, 1)
    check_count("n_validation", n_validation, 2)
    if n_sequences % batch_size:
        raise ValueError(f"batch_size={batch_size} does not divide n_sequences={n_sequences}")
    if task.n_states != model.n_states or task.length < model.window:
        raise ValueError(
            f"the task has S={task.n_states}, L={task.length}; the model reads S={model.n_states} "
            f"and needs L of at least {model.window}"
        )
    started = time.perf_counter()
    descended = softmax_again if second_softmax else negative_log
    train = task.sample(n_sequences, seed=torch.Generator().manual_seed(seed))
    fresh = task.sample(n_validation, seed=seed)
    matches, fresh_matches = model.matches(train.tokens), model.matches(fresh.tokens)
    history = []

    def record(step: int) -> None:
        with torch.no_grad():
            value, _ = loss(model(fresh.tokens, fresh_matches), fresh.answer)
            state = (model.copying(), model.selection(), model.a)
        history.append((step, value, *(part.detach().double().numpy().copy() for part in state)))

    done = 0
    record(0)
    bar = tqdm(total=sum(stage.steps for stage in stages), desc="train", disable=None if progress else True)
    for stage in stages:
        parameters = [getattr(model, PARTS[part]) for part in stage.parts]
        recorded = {round(step) for step in np.geomspace(1, stage.steps, records)} | {stage.steps}
        for step in range(1, stage.steps + 1):
            first = done * batch_size % n_sequences
            chosen = slice(first, first + batch_size)
            probs = model(train.tokens[chosen], matches[:, :, chosen])
            value = descended(probs, train.answer[chosen])
            if not value.isfinite():
                raise ValueError(f"the loss is {value.item()} at step {done}; try a rate below {stage.learning_rate}")
            gradients = torch.autograd.grad(value, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= stage.learning_rate * gradient
            done += 1
            bar.update()
            if step in recorded:
                record(done)
    bar.close()
    return InductionHistory(*(np.array(column) for column in zip(*history, strict=True)), time.perf_counter() - started)


def negative_log(probs: Tensor, answer: Tensor) -> Tensor:
    """The loss that is descended: the mean of -log y of the answers, given probabilities `(B, S)`."""
    return -probs.gather(1, answer[:, None]).clamp(min=LEAST_FORECAST).log().mean()


def softmax_again(probs: Tensor, answer: Tensor) -> Tensor:
    r"""The mean of :math:`-\log \mathrm{softmax}(y)_e` of the answers: a cross-entropy that takes the probabilities y,
    `(B, S)`, for scores. It is bounded, from :math:`\log(1 + (S - 1) / e)` for a sure and right y to
    :math:`\log(e + S - 1)`.

    Arguments:
        probs: `(B, S)`.
        answer: `(B,)`, int64.

    Source: the public code of paper B (arXiv 2409.10559).

    Example:
        >>> round(softmax_again(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0])).item(), 3)  # log(1 + 2 / e)
        0.551
    """
    return nn.functional.cross_entropy(probs, answer)


@dataclass(frozen=True, eq=False)
class FullHistory:
    """What a run of `train_full` went through: steps done, validation loss and `Roles`, at T records."""

    step: list[int]
    validation: list[float]
    roles: list["Roles"]
    seconds: float


def train_full(
    model: FullInductionTransformer,
    task: MarkovTask,
    *,
    steps: int = 5000,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    seed: int = 0,
    n_validation: int = 2000,
    record_every: int = 250,
    progress: bool = True,
) -> FullHistory:
    r"""Train the full model in place by Adam on the next token at all positions; every sequence is fresh.

    .. math:: - \frac{1}{B L} \sum_b \sum_{t=1}^L \log y_{b,t}(x_{b,t+1})

    The rate follows one cycle, up over the first 30 % of the steps and down to nothing. Validation looks at the answer
    alone, so that its loss compares with that of all other predictors.

    Arguments:
        model: trained where it is.
        task: draws the sequences.
        steps: optimiser steps.
        batch_size: B, sequences a step.
        learning_rate: the peak.
        seed: of the training sequences. Those for validation come from `task.sample` and are never among them.
        n_validation: sequences for validation.
        record_every: steps between two records.
        progress: show a bar.

    Raises:
        ValueError: an argument is out of range, the task does not fit the model, or the loss ceases to be finite.

    Source: own.

    Example:
        >>> model = FullInductionTransformer(width=6)
        >>> train_full(model, MarkovTask(length=10), steps=2, n_validation=10, record_every=1, progress=False).step
        [0, 1, 2]
    """
    check_seed(seed)
    for name, count in (("batch_size", batch_size), ("record_every", record_every)):
        check_count(name, count, 1)
    check_count("n_validation", n_validation, 2)
    if task.n_states != model.n_states:
        raise ValueError(f"the task has S={task.n_states}; the model reads S={model.n_states}")
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    fresh = task.sample(n_validation, seed=seed)
    history = []

    def record(step: int) -> None:
        value, _ = loss(predict_chains(model, fresh), fresh.answer)
        history.append((step, value, roles(model, fresh[:500])))

    record(0)
    at_once = 50  # batches drawn together: sampling goes token by token, and costs the same for one batch or fifty
    pool: Chains

    def loss_of(step: int) -> Tensor:
        nonlocal pool
        if step % at_once == 0:
            pool = task.sample(at_once * batch_size, seed=generator)
        batch = pool[step % at_once * batch_size : (step % at_once + 1) * batch_size]
        following = torch.cat([batch.tokens[:, 1:], batch.answer[:, None]], 1)
        return -model.log_probabilities(batch.tokens).gather(-1, following[..., None]).mean()

    for step, _ in enumerate(descend(model.parameters(), steps, learning_rate, loss_of, progress=progress), 1):
        if step % record_every == 0:
            record(step)
    return FullHistory(*map(list, zip(*history, strict=True)), time.perf_counter() - started)


@torch.no_grad()
def predict_chains(model: nn.Module, chains: Chains, *, batch_size: int = 500) -> Tensor:
    """Probabilities of the answers, `(B, S)`, float64, in batches that fit into memory.

    Arguments:
        model: one of Part II.
        chains: the sequences.
        batch_size: sequences at once.

    Raises:
        ValueError: a batch size below 1, or sequences that the model does not read.

    Source: own.

    Example:
        >>> predict_chains(InductionTransformer(), MarkovTask().sample(3)).shape
        torch.Size([3, 3])
    """
    check_count("batch_size", batch_size, 1)
    parts = [model(chains.tokens[start : start + batch_size]) for start in range(0, len(chains), batch_size)]
    probs = torch.cat(parts).double()
    return probs / probs.sum(-1, keepdim=True)  # to 1, to the rounding of float64


@dataclass(frozen=True, eq=False)
class Roles:
    """What the parts of a full model do, measured by `roles`.

    Arguments:
        copying: attention of the heads of the first layer by offset, `(H, window + 1)`; the last column is all beyond.
        matching: attention of the second layer, at the last token, to tokens whose history is that of the answer.
        chance: their share among all tokens.
        classifying: how often the answer is the token that the second layer is made to look at, alone.
    """

    copying: np.ndarray
    matching: float
    chance: float
    classifying: float


@torch.no_grad()
def roles(model: FullInductionTransformer, chains: Chains, lags: tuple[int, ...] | None = None) -> Roles:
    r"""Measure copier, selector and classifier in a full model, on given sequences.

    .. math:: \text{matching} = E \sum_t A_{L,t}\, 1\{z_t = z_{L+1}\}

    Matching is seen where it ends, in the attention of the second layer; which part of the model does it, only a
    model `without` that part can tell. For the classifier the second layer is taken by the hand: all of its attention
    goes to one token, each in turn of ten that are spread over the sequence, and the prediction is compared with that
    token.

    Arguments:
        model: the one to measure.
        chains: sequences longer than its window.
        lags: what counts as the history; by default that of the chains.

    Raises:
        ValueError: sequences shorter than the window, or states that the model does not know.

    Source: own.

    Example:
        >>> found = roles(FullInductionTransformer(), MarkovTask().sample(20))
        >>> found.copying.shape, bool(found.matching < 2 * found.chance)
        ((3, 7), True)
    """
    lags = chains.lags if lags is None else lags
    length = chains.tokens.shape[1]
    if length <= model.window:
        raise ValueError(f"sequences of {length} tokens have no token with all {model.window} offsets before it")
    z, first = model.stream(chains.tokens)
    second = model.matching(z)[:, -1]
    rows = histories(chains.tokens, lags, chains.n_states)
    match = torch.zeros_like(second, dtype=torch.bool)
    match[:, max(lags, default=0) :] = rows[:, :-1] == rows[:, -1:]
    late = torch.arange(model.window, length)
    near = torch.stack([first[:, :, late, late - offset].mean((0, 2)) for offset in range(model.window)], -1)
    followed = []
    for place in np.linspace(model.window, length - 1, 10).round().astype(int):
        alone = torch.zeros_like(second)
        alone[:, place] = 1
        said = model.read(z[:, -1:], alone[:, None], z)[:, 0].argmax(-1)
        followed.append((said == chains.tokens[:, place]).double().mean().item())
    return Roles(
        torch.cat([near, 1 - near.sum(-1, keepdim=True)], -1).double().numpy(),
        (second * match).sum(-1).mean().item(),
        match.double().mean().item(),
        float(np.mean(followed)),
    )
