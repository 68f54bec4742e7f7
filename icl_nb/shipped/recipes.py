"""What the checkpoints of Part I are made from: every model, task and training, with its seed."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import Any

import torch

from icl_nb.evaluation.scores import evaluate
from icl_nb.interpret.imitation import descent_table, write_table
from icl_nb.interpret.lens import Lens, follow
from icl_nb.models.attention import InContextTransformer
from icl_nb.models.files import KINDS
from icl_nb.models.training import train
from icl_nb.symmetry import off_commutant, renaming_error
from icl_nb.tasks.families import HeavyTask
from icl_nb.tasks.linear import LinearTask, MixedTask
from icl_nb.tasks.tables import TableTask

_CURVE_EVERY = 50


@dataclass(frozen=True)
class Recipe:
    """All that a shipped checkpoint is made from.

    Arguments:
        kind: "dense", "equivariant" or "ordinary".
        model: keyword arguments of the model, its seed among them.
        training: keyword arguments of `train`.
        task: what it is trained on. It is evaluated on the same, or at the size of chapter 1 where that was mixed.
        start: the shipped checkpoint whose weights it starts from; from random ones where there is none.
        teacher: the shipped ordinary transformer whose answers it follows, layer by layer, instead of the labels.
        written: keyword arguments of `descent_table`, whose scalars it starts from.
        tied: True where all layers share one set of weights, see `tie_`.
    """

    kind: str
    model: dict
    training: dict
    task: LinearTask | HeavyTask | MixedTask | TableTask = field(default_factory=LinearTask)
    start: str | None = None
    teacher: str | None = None
    written: dict | None = None
    tied: bool | None = None

    part = 1  # of the book

    @property
    def parents(self) -> tuple[str, ...]:
        """The checkpoints that it needs."""
        return tuple(name for name in (self.start, self.teacher) if name)

    def make(self, parent: Callable[[str], InContextTransformer]) -> tuple[InContextTransformer, None, dict]:
        """Train and evaluate: the model, and what is to be kept about it.

        Arguments:
            parent: gives the model of a checkpoint.
        """
        goal = self.task if isinstance(self.task, LinearTask) else LinearTask()
        model = KINDS[self.kind](goal.n_features, goal.n_classes, **self.model)
        if self.start:
            model.load_state_dict(take_up(model.state_dict(), parent(self.start).state_dict()))
        if self.written:
            write_table(model, descent_table(**self.written))
        if self.tied:
            tie_(model)
        residual, broken = {}, {}
        trial = goal.sample(64, seed=1, n_queries=4)

        def watch(step: int, model: Any) -> None:  # of the kind that the recipe names
            if step % _CURVE_EVERY:
                return
            if self.kind == "ordinary":
                broken[step] = round(renaming_error(model, trial, n_elements=1), 5)
                residual[step] = [round(float(model.off_symmetric(name).mean()), 4) for name in ("scores", "values")]
            elif model.copies == 1:
                m, v = model.weights()
                residual[step] = [
                    round(off_commutant(part.detach(), model.n_features, model.n_classes).mean().item(), 4)
                    for part in (m, v)
                ]

        if self.teacher:
            lens = Lens(parent(self.teacher), goal.sample(300, seed=2, n_queries=16))
            history = follow(model, lens, goal, progress=False, **self.training)
        else:
            history = train(model, self.task, progress=False, on_step=watch, **self.training)
        about = {
            "recipe": {key: value for key, value in asdict(self).items() if value is not None},
            "task": asdict(self.task),
            "training": self.training | {"seconds": round(history.seconds)},
            "evaluation": asdict(evaluate(model, goal)),
            "curve": {
                "every": _CURVE_EVERY,
                "loss": _block_means(history.loss),
                "accuracy": _block_means(history.accuracy),
                "off_commutant": list(residual.values()),
            }
            | ({"renaming_error": list(broken.values())} if broken else {}),
            "versions": {package: metadata.version(package) for package in ("icl-nb", "torch")},
            "made": time.strftime("%Y-%m-%d", time.gmtime()),
        }
        return model, None, about


def take_up(own: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    r"""A state that goes on from another: what the other lacks, slopes and heads, stays as it starts.

    .. math:: \theta_{lh} \leftarrow \theta'_{lh} \text{ for } h \le H', \qquad
        \theta_{lh} \text{ as it starts for } h > H'

    Arguments:
        own: tensors by name; parts of layers and heads are `(L, H, ...)`.
        given: some of them, `(L, H', ...)` with no more heads.

    Raises:
        ValueError: a tensor that is not among `own`, or that differs in more than having fewer heads.

    Source: own.

    Example:
        >>> start = take_up({"m": torch.zeros(2, 3, 1)}, {"m": torch.ones(2, 1, 1)})
        >>> start["m"][0, :, 0].tolist()
        [1.0, 0.0, 0.0]
    """
    state = {name: part.clone() for name, part in own.items()}
    for name, part in given.items():
        there = state.get(name)
        if there is None:
            raise ValueError(f"{name} is no tensor of this model; it has {', '.join(own)}")
        if there.shape == part.shape:
            state[name] = part
            continue
        grown = there.ndim == part.ndim > 2 and there.shape[1] > part.shape[1]
        if not grown or there.shape[:1] + there.shape[2:] != part.shape[:1] + part.shape[2:]:
            raise ValueError(
                f"{name} is {tuple(part.shape)} and must become {tuple(there.shape)}; only heads are added"
            )
        there[:, : part.shape[1]] = part
    return state


def tie_(model: InContextTransformer) -> None:
    r"""Give all layers the same weights, in place, and keep them the same in training.

    .. math:: \theta_l \leftarrow \frac1L \sum_k \theta_k, \qquad
        \nabla_{\theta_l} \leftarrow \frac1L \sum_k \nabla_{\theta_k}

    Layers that start equal and see equal gradients make equal steps of Adam, those of the one set of weights. A mean
    of the steps would be another one, since Adam divides each gradient by its own size.

    Arguments:
        model: its parameters of shape `(L, H, ...)` are tied; what it reads out with is not a layer's.

    Source: own.

    Example:
        >>> from icl_nb import EquivariantTransformer
        >>> model = EquivariantTransformer(depth=3, scalars=4)
        >>> tie_(model)
        >>> _ = train(model, LinearTask(), steps=2, progress=False)
        >>> bool((model.m == model.m[0]).all())
        True
    """
    for part in model.parameters():
        if part.shape[:2] == (model.depth, model.heads):
            part.data.copy_(_over_layers(part.data))
            part.register_hook(_over_layers)


def _over_layers(part: torch.Tensor) -> torch.Tensor:
    """The mean over the first axis, in every place of it."""
    return part.mean(0, keepdim=True).expand_as(part).clone()


_PLAIN = LinearTask()


_TRAINING = {"steps": 4000, "learning_rate": 1e-2}


def _family(
    kind: str,
    *,
    seeds: int = 5,
    symmetry: str | None = None,
    task: LinearTask | HeavyTask = _PLAIN,
    tied: bool | None = None,
    **model,
) -> list[Recipe]:
    """Several seeds of one kind of model, one head and eight layers unless said, alike in everything else."""
    return [
        Recipe(
            kind,
            {"depth": 8, "heads": 1, "seed": seed} | model,
            _TRAINING | {"seed": seed, "symmetry": symmetry},
            task,
            tied=tied,
        )
        for seed in range(seeds)
    ]


_FAMILIES = {
    # Chapter 3: four ways to impose the symmetry, or not.
    "dense": _family("dense"),
    "injected": _family("dense", symmetry="injection"),
    "projected": _family("dense", symmetry="projection"),
    "equivariant": _family("equivariant"),
    # Chapter 4: four scalars a head alone; and the control, a task with less symmetry, with twelve and with four.
    "four": _family("equivariant", scalars=4),
    "shifted": _family("equivariant", seeds=3, task=LinearTask(shift=1.0)),
    "shifted-four": _family("equivariant", seeds=3, task=LinearTask(shift=1.0), scalars=4),
    # Chapter 7: "four" at other depths, and with one set of scalars for all layers.
    "depth2": _family("equivariant", seeds=3, scalars=4, depth=2),
    "depth4": _family("equivariant", seeds=3, scalars=4, depth=4),
    "depth16": _family("equivariant", seeds=3, scalars=4, depth=16),
    "depth32": _family("equivariant", seeds=3, scalars=4, depth=32),
    "tied": _family("equivariant", seeds=3, scalars=4, tied=True),
    "tied16": _family("equivariant", seeds=3, scalars=4, depth=16, tied=True),
    # Chapter 10: "four" again, trained where it is weak.
    "four-noise": _family("equivariant", seeds=3, task=LinearTask(noise=0.2), scalars=4),
    "four-unlabelled": _family("equivariant", seeds=3, task=LinearTask(unlabelled=0.5), scalars=4),
    "four-tails": _family("equivariant", seeds=3, task=HeavyTask(dof=2.0), scalars=4),
}


def _memory(copies: int, depth: int, heads: int, steps: int, seed: int = 0, rate: float | None = None) -> Recipe:
    """Four scalars a head, m^2 of each with m copies. With a memory a high learning rate is unstable."""
    model = {"depth": depth, "heads": heads, "scalars": 4} | ({"copies": copies} if copies > 1 else {})
    training = {"steps": steps, "learning_rate": rate or (1e-2 if copies == 1 else 5e-3)}
    return Recipe("equivariant", model | {"seed": seed}, training | {"seed": seed})


def _early(depth: int, steps: int, after: list[int], seed: int) -> Recipe:
    """One copy and two heads, and answers that count in the loss after some layers and the last."""
    recipe = _memory(1, depth, 2, steps, seed)
    return replace(recipe, training=recipe.training | {"read_after": after})


# Beyond the paper: the frontier of depth and copies, and the best without and with a memory.
_FRONTIER = (
    {f"copies{m}-{seed}": _memory(m, 6, 2, 4000, seed) for m in (1, 2, 3) for seed in range(3)}
    | {f"copies{m}-deep-{seed}": _memory(m, 12, 2, 5000, seed) for m in (1, 2, 3) for seed in range(3)}
    | {"deep": _memory(1, 24, 2, 8000, rate=7e-3), "memory": _memory(3, 12, 3, 8000)}
    # As many numbers as two or three copies have at the same depth, spent on heads.
    | {f"heads8-{seed}": _memory(1, 6, 8, 4000, seed) for seed in range(3)}
    | {f"heads{h}-deep-{seed}": _memory(1, 12, h, 5000, seed) for h in (8, 18) for seed in range(3)}
)


# Ordinary transformers: as they are; one that goes on with permutations injected; one that is symmetric all along.
_ORDINARY = {
    name: Recipe(
        "ordinary",
        {"depth": 6, "heads": heads, "seed": seed},
        {"steps": steps, "learning_rate": 2e-3, "seed": seed, "symmetry": symmetry},
        start=start,
    )
    for name, heads, seed, steps, symmetry, start in (
        *((f"ordinary-{seed}", 4, seed, 4000, None, None) for seed in range(3)),
        ("opened", 4, 0, 3000, "injection", "ordinary-0"),
        ("symmetric", 3, 0, 4000, "projection", None),
    )
} | {
    # Recursions that go on from "recursion" and "memory" and follow the answers of an ordinary transformer.
    f"{name}{suffix}": Recipe(
        "equivariant",
        {"depth": 12, "heads": 3, "scalars": 4} | copies,
        {"steps": 1000, "learning_rate": 5e-3, "seed": 0},
        start=start,
        teacher=teacher,
    )
    for suffix, teacher in (("", "ordinary-0"), ("-again", "ordinary-1"))
    for name, start, copies in (("follower", "recursion", {}), ("follower-memory", "memory", {"copies": 3}))
}


# A memory that starts as six steps of gradient descent, written by hand (chapter 5).
IMITATION: dict[str, Any] = {"steps": 6, "rate": 8.0, "sharp": 10.0}


_TWO_COPIES = {"heads": 2, "copies": 2}


_SLOPES = {"slopes": True}  # scalars that depend on the length of the context


def _trusted(start: str, shape: dict, steps: int, rate: float, seed: int, batch_size: int, **task) -> Recipe:
    """For tasks as real tables are."""
    model = {"depth": 12, "scalars": 4, "seed": 0} | shape
    training = {"steps": steps, "learning_rate": rate, "batch_size": batch_size, "n_queries": 24, "seed": seed}
    return Recipe("equivariant", model, training, TableTask(curved=0.3, **task), start=start)


def _trusted_family(name: str, start: str, seed: int, shape: dict = _TWO_COPIES | _SLOPES) -> dict[str, Recipe]:
    """A clean table goes on to short contexts, to long ones, and to sharper tasks."""
    short, long = f"{name}-short", f"{name}-long"
    few, more = {"n_features": (2, 24)}, {"n_features": (2, 30), "n_classes": (2, 10)}
    soft, sharp = {"log_sharpness": (-0.7, 5.0)}, {"log_sharpness": (-0.7, 6.0)}
    return {
        short: _trusted(start, shape, 2500, 4e-3, seed, 64, n_points=(10, 400), most=1000, **few, **soft),
        long: _trusted(short, shape, 1800, 2.5e-3, seed + 1, 64, n_points=(16, 1000), most=1500, **more, **soft),
        name: _trusted(long, shape, 1200, 2e-3, seed + 2, 96, n_points=(12, 800), most=2000, **more, **sharp),
    }


# Chapter 11: the table of the estimator; another from another start and other tasks; a rival of one copy with as many
# numbers, whose start has three of its eight heads; and the table itself without slopes.
_TRUSTED = (
    _trusted_family("trusted", "copies2-deep-2", 0)
    | _trusted_family("trusted-again", "copies2-deep-1", 10)
    | _trusted_family("trusted-one", "recursion", 0, {"heads": 8} | _SLOPES)
    | _trusted_family("trusted-flat", "copies2-deep-2", 0, _TWO_COPIES)
)


# Chapter 11: "copies1" again, with answers that count in the loss after every second layer; and "copies1-deep-1", after
# every third.
_EARLY = {f"early-{seed}": _early(6, 4000, [2, 4], seed) for seed in range(3)} | {
    "early-deep": _early(12, 5000, [3, 6, 9], 1)
}


# Chapter 11: clean tasks of every length, with slopes and without: does a sharpness that grows with log n make the
# error fall faster?
_LENGTHS = {
    f"{name}{suffix}": Recipe(
        "equivariant",
        {"depth": 12, "scalars": 4, "seed": 0} | _TWO_COPIES | slopes,
        {"steps": 1500, "learning_rate": 4e-3, "batch_size": 64, "n_queries": 48, "seed": seed},
        TableTask((16, 800), (2, 10), (2, 3), (8.0, 9.0), flips=0.0, most=800),
        start=start,
    )
    for name, start, seed in (("lengths", "copies2-deep-2", 0), ("lengths-again", "copies2-deep-1", 1))
    for suffix, slopes in (("", _SLOPES), ("-flat", {}))
}


RECIPES: dict[str, Recipe] = (
    {
        # Chapter 3: the best with all twelve coordinates. Chapter 5: the best with four, a recursion of 144 scalars.
        "headline": Recipe("equivariant", {"depth": 24, "heads": 2}, {"steps": 10_000, "learning_rate": 7e-3}),
        "recursion": Recipe(
            "equivariant", {"depth": 12, "heads": 3, "scalars": 4}, {"steps": 8_000, "learning_rate": 1e-2}
        ),
        # Chapter 11: the table of the estimator, trained on many sizes.
        "table": Recipe(
            "equivariant",
            {"depth": 12, "heads": 3, "scalars": 4},
            {"steps": 6000, "learning_rate": 1e-2},
            MixedTask(correlation=0.9, bias=0.3),
        ),
        # Chapter 11: the plain task of chapter 1 at every size, for the maps of regret.
        "sizes": Recipe(
            "equivariant",
            {"depth": 12, "heads": 3, "scalars": 4},
            {"steps": 5000, "learning_rate": 1e-2},
            MixedTask(n_points=(10, 128), n_features=(2, 20), n_classes=(2, 10)),
        ),
    }
    | {f"{name}-{seed}": recipe for name, family in _FAMILIES.items() for seed, recipe in enumerate(family)}
    | _FRONTIER
    | _TRUSTED
    | _LENGTHS
    | _EARLY
    | _ORDINARY
    | {
        "imitation": Recipe(
            "equivariant",
            {"depth": 12, "heads": 3, "scalars": 4, "copies": 3},
            {"steps": 1000, "learning_rate": 2e-3, "seed": 0},
            written=IMITATION,
        )
    }
)


def _block_means(values: list[float]) -> list[float]:
    blocks = torch.tensor(values[: len(values) // _CURVE_EVERY * _CURVE_EVERY], dtype=torch.float64).reshape(
        -1, _CURVE_EVERY
    )
    return [round(mean, 5) for mean in blocks.mean(1).tolist()]
