"""The one descent that all training here is made of."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from tqdm import tqdm

from icl_nb.checks import check_count, check_positive


def descend(
    parameters: Iterable[nn.Parameter],
    steps: int,
    learning_rate: float,
    loss_of: Callable[[int], Tensor],
    *,
    progress: bool = True,
) -> Iterator[tuple[float, float]]:
    r"""Adam under one cycle of the learning rate: yields the loss and the rate of each step, once it is taken.

    .. math:: g \leftarrow g \min(1, 1 / | g |), \qquad \theta \leftarrow \mathrm{Adam}(\theta, g)

    The rate goes up over the first 30 % of the steps, down to nothing by the last; Adam's beta_1 goes the other way,
    from 0.95 to 0.85 and back.

    Arguments:
        parameters: what moves.
        steps: how often.
        learning_rate: the peak.
        loss_of: the loss at a step, from 0 on; it is asked once for each.
        progress: show a bar.

    Raises:
        ValueError: a count or rate is out of range, the loss ceases to be finite, or its gradient does.

    Example:
        >>> x = nn.Parameter(torch.tensor(1.0))
        >>> losses = [loss for loss, _ in descend([x], 50, 0.1, lambda step: x**2)]
        >>> losses[-1] < 0.01 * losses[0]
        True
    """
    check_count("steps", steps, 1)
    check_positive("learning_rate", learning_rate)
    parameters = list(parameters)
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    # One step more than is taken: at its very end the cycle has a rate of zero.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps + 1)
    # None lets tqdm draw a bar only where a terminal shows it, and not at all where TQDM_DISABLE asks for silence.
    for step in tqdm(range(steps), desc="training", unit="step", disable=None if progress else True):
        loss = loss_of(step)
        if not loss.isfinite():
            raise ValueError(f"the loss is {loss.item()} at step {step}; try a learning rate below {learning_rate}")
        optimiser.zero_grad()
        loss.backward()
        if not nn.utils.clip_grad_norm_(parameters, 1.0).isfinite():
            raise ValueError(f"the gradient overflows at step {step}; try a learning rate below {learning_rate}")
        optimiser.step()
        rate = schedule.get_last_lr()[0]
        schedule.step()
        yield loss.item(), rate
