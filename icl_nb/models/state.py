"""A training run on disk: all that its next steps depend on, in one file that is there whole or not at all."""

import contextlib
import signal
import threading
import time
from collections.abc import Generator
from pathlib import Path

import torch
from torch import nn

from icl_nb.descent import Descent, DivergenceError, rank
from icl_nb.models.files import check_path, get, put

_FORMAT = "icl-nb run 1"


class Run:
    """The state of a training: weights, optimiser, place in the schedule, generator, and curves.

    Arguments:
        model: what is trained.
        descent: how.
        generator: where its tasks come from.
        curves: a list of numbers each, an entry a step.
        arguments: what else the steps depend on, as JSON can hold it. A state is taken up by the same call alone.

    Example:
        >>> import tempfile
        >>> from icl_nb import EquivariantTransformer
        >>> def start():
        ...     model = EquivariantTransformer(depth=2)
        ...     return Run(model, Descent(model.parameters(), 9, 0.1), torch.Generator(), {"loss": []}, {"seed": 0})
        >>> run = start()
        >>> run.curves["loss"].append(run.descent.take(run.model.m.square().sum())[0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run.save(Path(folder) / "state.safetensors")
        ...     other = start()
        ...     other.restore(Path(folder) / "state.safetensors")
        >>> other.descent.done, torch.equal(other.model.m, run.model.m)
        (1, True)
    """

    def __init__(
        self,
        model: nn.Module,
        descent: Descent,
        generator: torch.Generator,
        curves: dict[str, list[float]],
        arguments: dict,
    ):
        self.model, self.descent, self.generator = model, descent, generator
        self.curves, self.arguments = curves, arguments

    def save(self, path: str | Path) -> None:
        """Write the state; of several processes that train together, the first does.

        Raises:
            DivergenceError: a weight is not finite; the file of before stays.
            ValueError: the file cannot be written; likewise.
        """
        if rank():
            return
        tensors, numbers = self.descent.state()
        parts = {f"model/{name}": part for name, part in self.model.state_dict().items()}
        parts |= {f"adam/{name}": part for name, part in tensors.items()}
        for name, part in parts.items():
            if not part.isfinite().all():
                raise DivergenceError(f"{name} is no longer finite after step {self.descent.done}", self.descent.done)
        parts |= {f"curve/{name}": torch.tensor(values, dtype=torch.float64) for name, values in self.curves.items()}
        parts["generator"] = self.generator.get_state()
        content = {"format": _FORMAT, "arguments": self.arguments, "descent": numbers}
        put(path, content, {name: part.detach().cpu().contiguous() for name, part in parts.items()})

    def restore(self, path: str | Path) -> None:
        """Go on from where a state was written.

        Raises:
            ValueError: no state of a run, damaged, or the state of another one.
        """
        content, tensors = get(check_path(path))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"{path} holds no training run of the format {_FORMAT!r}")
        stored = content.get("arguments")
        if not isinstance(stored, dict):
            raise ValueError(f"{path} holds no state: it does not say of which run")
        if stored != self.arguments:
            other = [name for name in self.arguments if stored.get(name) != self.arguments[name]]
            said = "; ".join(f"{name} {stored.get(name)} there, {self.arguments[name]} here" for name in other)
            raise ValueError(f"{path} holds another run: {said}")

        def group(name: str) -> dict[str, torch.Tensor]:
            return {key.removeprefix(f"{name}/"): part for key, part in tensors.items() if key.startswith(f"{name}/")}

        try:
            self.descent.restore(group("adam"), content["descent"])
            self.model.load_state_dict(group("model"))
            self.generator.set_state(tensors["generator"])
            for name, values in self.curves.items():
                values[:] = tensors[f"curve/{name}"].tolist()
                if len(values) != self.descent.done:
                    raise ValueError(f"the curve {name} has {len(values)} entries of {self.descent.done}")
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no state that fits this run: {' '.join(str(error).split())}") from None


@contextlib.contextmanager
def patience() -> Generator[list, None, None]:
    """Ctrl-C waits for the end of a step: it fills the list that this gives; a second one comes at once."""
    noted = []

    def note(*_) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(True)

    if threading.current_thread() is not threading.main_thread():  # which alone hears of it
        yield noted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def sweep_up(path: Path, *, older_than: float = 60) -> None:
    """Remove the temporary files that a process left beside a path when it was killed as it wrote there.

    Arguments:
        path: of the file that was to be written.
        older_than: seconds; a younger one may be another process's, at work.
    """
    for left in path.parent.glob(f".{path.name}-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > older_than:
                left.unlink()
