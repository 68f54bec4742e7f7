"""The one descent that all training by Adam here is made of: on one processor, or shared by several.

Started by `torchrun`, every process takes its slice of each batch; what all of them find is added up, so that each
makes the step that one process would make of the whole.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, distributed, nn
from tqdm import tqdm

from icl_nb.checks import check_count, check_positive


class DivergenceError(ValueError):
    """A loss, a gradient or a weight ceased to be finite.

    Arguments:
        message: what happened.
        step: where, counted from 0; the weights are still those before it.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class Descent:
    r"""Adam under one cycle of the learning rate, step by step, and its state, from which it goes on bit by bit.

    .. math:: g \leftarrow g \min(1, 1 / | g |), \qquad \theta \leftarrow \mathrm{Adam}(\theta, g)

    The rate goes up over the first 30 % of the steps, down to nothing by the last; Adam's beta_1 goes the other way,
    from 0.95 to 0.85 and back.

    Arguments:
        parameters: what moves.
        steps: how often.
        learning_rate: the peak.
        shared: whether the processes that train together each give a part of the loss, whose sum is descended.

    Raises:
        ValueError: a count or rate is out of range.

    Example:
        >>> x = nn.Parameter(torch.tensor(1.0))
        >>> descent = Descent([x], 10, 0.1)
        >>> losses = [descent.take(x**2)[0] for _ in range(4)]
        >>> tensors, numbers = descent.state()
        >>> other = Descent([x], 10, 0.1)
        >>> other.restore(tensors, numbers)
        >>> other.done, losses[3] < losses[0]
        (4, True)
    """

    def __init__(self, parameters: Iterable[nn.Parameter], steps: int, learning_rate: float, *, shared: bool = False):
        self.steps = check_count("steps", steps, 1)
        self.learning_rate = check_positive("learning_rate", learning_rate)
        self.parameters, self.done, self.shared = list(parameters), 0, shared
        self._optimiser = torch.optim.Adam(self.parameters, lr=learning_rate)
        self._schedule = self._cycle()

    def take(self, loss: Tensor) -> tuple[float, float]:
        """One step down the gradient of a loss: the loss and the rate of that step.

        Arguments:
            loss: a scalar; where it is shared, the part that is this process's.

        Raises:
            DivergenceError: the loss, its gradient or the rate is not finite. Nothing has moved.
            RuntimeError: torch's own, of what should not be.
        """
        self._optimiser.zero_grad()
        loss.backward()
        value = loss.detach()
        if self.shared:
            (value,) = add_up([value], self.parameters)
        value = value.item()
        what = "" if math.isfinite(value) else f"the loss is {value}"
        if not what and not nn.utils.clip_grad_norm_(self.parameters, 1.0).isfinite():
            what = "the gradient overflows"
        if what:
            raise DivergenceError(
                f"{what} at step {self.done}; try a learning rate below {self.learning_rate}", self.done
            )
        try:
            self._optimiser.step()
        except RuntimeError as error:  # torch's, of a rate beyond its dtype
            if "overflow" not in str(error):
                raise
            raise DivergenceError(f"the rate {self.learning_rate} overflows at step {self.done}", self.done) from None
        rate = float(self._schedule.get_last_lr()[0])
        self._schedule.step()
        self.done += 1
        return value, rate

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """All that the next steps depend on beside the parameters: tensors by name, and what JSON can hold."""
        state = self._optimiser.state_dict()
        tensors = {f"{number}/{name}": part for number, parts in state["state"].items() for name, part in parts.items()}
        return tensors, {"done": self.done, "groups": state["param_groups"]}

    def restore(self, tensors: dict[str, Tensor], numbers: dict) -> None:
        """Take up a state where another descent over such parameters left it.

        Arguments:
            tensors: as `state` gave them.
            numbers: likewise.

        Raises:
            ValueError: it is the state of another descent.
        """
        shapes = {
            (f"{number}/{name}", () if name == "step" else tuple(part.shape))
            for number, part in enumerate(self.parameters)
            for name in ("exp_avg", "exp_avg_sq", "step")
        }
        try:
            done = check_count("done", numbers["done"], 0)
            groups = [group | {"betas": tuple(group["betas"])} for group in numbers["groups"]]
            if done > self.steps or not {name: tuple(part.shape) for name, part in tensors.items()}.items() <= shapes:
                raise ValueError("the shapes or the number of steps are others")
            state = {}
            for name, part in tensors.items():
                number, _, what = name.partition("/")
                state.setdefault(int(number), {})[what] = part
            self._optimiser.load_state_dict({"state": state, "param_groups": groups})
            # The place in the cycle follows from the number of steps, and the ends of the rate are in the groups.
            self._schedule, self.done = self._cycle(done - 1) if done else self._cycle(), done
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the state is that of another descent: {error}") from None

    def run(self, loss_of: Callable[[int], Tensor], *, progress: bool = True) -> Iterator[tuple[float, float]]:
        """Take all steps that are left; see `descend`."""
        # None lets tqdm draw a bar only where a terminal shows it, and not at all where TQDM_DISABLE asks for silence.
        silent = None if progress and rank() == 0 else True
        with tqdm(total=self.steps, initial=self.done, desc="training", unit="step", disable=silent) as bar:
            while self.done < self.steps:
                yield self.take(loss_of(self.done))
                bar.update()

    def _cycle(self, last: int = -1) -> torch.optim.lr_scheduler.OneCycleLR:
        # One step more than is taken: at its very end the cycle has a rate of zero.
        return torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, self.learning_rate, total_steps=self.steps + 1, last_epoch=last
        )


def descend(
    parameters: Iterable[nn.Parameter],
    steps: int,
    learning_rate: float,
    loss_of: Callable[[int], Tensor],
    *,
    progress: bool = True,
) -> Iterator[tuple[float, float]]:
    r"""The steps of a `Descent`: yields the loss and the rate of each, once it is taken.

    Arguments:
        parameters: what moves.
        steps: how often.
        learning_rate: the peak.
        loss_of: the loss at a step, from 0 on; it is asked once for each.
        progress: show a bar.

    Raises:
        ValueError: a count or rate is out of range.
        DivergenceError: the loss ceases to be finite, or its gradient does.

    Example:
        >>> x = nn.Parameter(torch.tensor(1.0))
        >>> losses = [loss for loss, _ in descend([x], 50, 0.1, lambda step: x**2)]
        >>> losses[-1] < 0.01 * losses[0]
        True
    """
    yield from Descent(parameters, steps, learning_rate).run(loss_of, progress=progress)


def join(device: str) -> str:
    """Meet the other processes, if `torchrun` started this one: the device that is this one's.

    Arguments:
        device: "cpu", or "cuda" for a GPU each.

    Raises:
        ValueError: the others cannot be met.

    Source: torch's own way to meet, made one call.

    Example:
        >>> join("cpu")  # alone
        'cpu'
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        return device
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the other processes cannot be met: {' '.join(str(error).split())}") from None
    return device


def leave() -> None:
    """Part from the other processes.

    Example:
        >>> leave()  # alone there is nobody to part from
    """
    if _together():
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process among those that train together; 0 where it is alone.

    Example:
        >>> rank()  # alone
        0
    """
    return distributed.get_rank() if _together() else 0


def my_part(count: int) -> slice:
    """Which of `count` tasks this process works on: all, or its share where several train together.

    Arguments:
        count: tasks of all processes together.

    Raises:
        ValueError: there are fewer tasks than processes.

    Example:
        >>> my_part(96)  # alone
        slice(0, 96, None)
    """
    if not _together():
        return slice(0, count)
    size, mine = distributed.get_world_size(), distributed.get_rank()
    if count < size:
        raise ValueError(f"a batch of {count} cannot be shared by {size} processes")
    return slice(count * mine // size, count * (mine + 1) // size)


def add_up(values: list[Tensor], parameters: Iterable[nn.Parameter] = ()) -> list[Tensor]:
    """The sums of tensors over all processes, and, in place, those of the gradients of parameters: one message for all.

    Arguments:
        values: tensors of one dtype and device, the same shapes in each process.
        parameters: whose gradients are replaced by their sums.

    Example:
        >>> add_up([torch.tensor(2.0)])  # alone
        [tensor(2.)]
    """
    if not _together():
        return values
    gradients = [part.grad for part in parameters if part.grad is not None]
    parts = [*values, *gradients]
    message = torch.cat([part.reshape(-1) for part in parts])
    distributed.all_reduce(message)
    sums = [flat.view_as(part) for flat, part in zip(message.split([p.numel() for p in parts]), parts, strict=True)]
    for gradient, total in zip(gradients, sums[len(values) :], strict=True):
        gradient.copy_(total)
    return sums[: len(values)]


def agree(parameters: Iterable[nn.Parameter]) -> None:
    """Give the parameters of process 0 to all.

    Arguments:
        parameters: to be made alike, in place.

    Example:
        >>> agree([nn.Parameter(torch.zeros(2))])  # alone they are
    """
    if _together():
        for part in parameters:
            distributed.broadcast(part.data, 0)


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
