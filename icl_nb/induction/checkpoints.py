"""Checkpoints of Part II: models with the history of their training, and the recipes that re-create them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from icl_nb.checkpoints import run_recipes
from icl_nb.checks import check_dtype
from icl_nb.induction.models import FullInductionTransformer, InductionTransformer
from icl_nb.induction.tasks import MarkovTask, loss, posterior_predictive
from icl_nb.induction.training import JOINT, STAGED, Stage, predict_chains, train_full, train_induction

SHIPPED = Path(__file__).parent / "checkpoints"
KINDS = {"simplified": InductionTransformer, "full": FullInductionTransformer}
_FORMAT = "icl-nb induction 1"
_EVALUATION = {"n_sequences": 20_000, "seed": 1}


@dataclass(frozen=True)
class Recipe:
    """All that a checkpoint is made from.

    Arguments:
        kind: "simplified" or "full".
        model: keyword arguments of the model.
        training: keyword arguments of `train_induction` or `train_full`.
        task: what it is trained and evaluated on.
        stages: of a simplified model.
    """

    kind: str = "simplified"
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    task: MarkovTask = field(default_factory=MarkovTask)
    stages: tuple[Stage, ...] = JOINT


_WEAK = {"start": (0.5, 0.1), "noise": 0.05}  # at most 0.46 of the attention on any lag
# Parent sets, alphabets and priors; in the last three the most informative set is not the parent set.
_TASKS = {
    "reference": (MarkovTask(), 2),
    "lag-1": (MarkovTask(lags=(1,)), 2),
    "lag-3": (MarkovTask(lags=(3,)), 2),
    "lags-1-3": (MarkovTask(lags=(1, 3)), 2),
    "lags-2-3": (MarkovTask(lags=(2, 3)), 2),
    "lags-1-2-3": (MarkovTask(lags=(1, 2, 3)), 3),
    "states-2": (MarkovTask(n_states=2), 2),
    "states-5": (MarkovTask(n_states=5), 2),
    "prior-0.03": (MarkovTask(concentration=0.03), 2),
    "prior-1": (MarkovTask(concentration=1.0), 2),
    "dominant-0.5": (MarkovTask(dominance=0.5), 2),
    "dominant-0.7": (MarkovTask(dominance=0.7), 2),
    "dominant-0.9": (MarkovTask(dominance=0.9), 2),
}

RECIPES: dict[str, Recipe] = {
    **{f"joint-{seed}": Recipe(training={"seed": seed}) for seed in range(3)},
    **{f"staged-{seed}": Recipe(training={"seed": seed}, stages=STAGED) for seed in range(3)},
    **{f"weak-{seed}": Recipe(model=_WEAK | {"seed": seed}, training={"seed": seed}) for seed in range(3)},
    "weak-staged-0": Recipe(model=_WEAK | {"seed": 0}, stages=STAGED),
    **{
        f"{how}-{name}": Recipe(
            model={"n_states": task.n_states, "degree": degree}, training={"seed": 7}, task=task, stages=stages
        )
        for name, (task, degree) in _TASKS.items()
        for how, stages in (("joint", JOINT), ("staged", STAGED))
    },
    "full-0": Recipe("full", training={"steps": 5000}),
}


def available() -> list[str]:
    """Names of the checkpoints of Part II that ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def save(path: str | Path, model: torch.nn.Module, history: dict[str, np.ndarray] | None = None, **about) -> None:
    """Write a model, arrays of its training and anything else that JSON can hold to a safetensors file.

    Raises:
        ValueError: a model of another class, a value that is not finite, or a path that does not end in .safetensors.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(Path(folder) / "mine.safetensors", InductionTransformer(window=4), {"step": np.arange(3)})
        ...     model, history = load(Path(folder) / "mine.safetensors")
        >>> model.window, history["step"].tolist()
        (4, [0, 1, 2])
    """
    kind = next((name for name, cls in KINDS.items() if type(model) is cls), None)
    if kind is None:
        raise ValueError(f"a {type(model).__name__} cannot be saved; it must be one of {', '.join(KINDS)}")
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path={str(path)!r}; it must name a file that ends in .safetensors")
    tensors = {f"model/{name}": part.detach().cpu().contiguous() for name, part in model.state_dict().items()}
    tensors |= {f"history/{name}": torch.from_numpy(np.array(part)) for name, part in (history or {}).items()}
    for name, part in tensors.items():
        if not part.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")
    content = json.dumps({"kind": kind, "config": model.config, "about": about}, sort_keys=True, allow_nan=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": _FORMAT, "content": content})


def load(
    name: str | Path, *, dtype: torch.dtype | None = None
) -> tuple[InductionTransformer | FullInductionTransformer, dict[str, np.ndarray]]:
    """A shipped checkpoint, or a file that `save` wrote: the model, and the arrays of its training.

    Arguments:
        name: one of `available()`, or a path that ends in .safetensors.
        dtype: of the weights: float32 or float64. None is torch's default dtype, or that of the file where it is wider.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of Part II, or weights that do not fit its configuration or are not finite.
    """
    path, content, tensors = _read(name)
    parts = {group: {} for group in ("model", "history")}
    for key, part in tensors.items():
        group, _, rest = key.partition("/")
        parts.setdefault(group, {})[rest] = part
    try:
        model = KINDS[content["kind"]](**content["config"])
        dtypes = {part.dtype for part in parts["model"].values()}
        if len(dtypes) != 1 or not all(part.isfinite().all() for part in parts["model"].values()):
            raise ValueError("weights must be finite, and of one dtype")
        stored = dtypes.pop()
        model.to(stored).load_state_dict(parts["model"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: not a model of Part II: {' '.join(str(error).split())}") from None
    wanted = torch.promote_types(stored, torch.get_default_dtype()) if dtype is None else check_dtype(dtype)
    return model.to(wanted).eval(), {key: part.numpy() for key, part in parts["history"].items()}


def describe(name: str | Path) -> dict:
    """What a checkpoint says of itself: `kind`, `config` and `about` (recipe, evaluation).

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of Part II.
    """
    return _read(name)[1]


def retrain(
    names: list[str] | None = None, *, folder: str | Path = SHIPPED, jobs: int = 2, progress: bool = True
) -> list[Path]:
    """Re-create shipped checkpoints from their recipes, several processes side by side; all of them by default.

    Raises:
        ValueError: a name without a recipe, or fewer than 1 process.
    """
    return run_recipes(_follow, RECIPES, names, folder, jobs, progress)


def _follow(name: str, recipe: Recipe, folder: Path) -> Path:
    """Train one recipe, evaluate it, and save it with its history."""
    if recipe.kind == "full":
        model = FullInductionTransformer(recipe.task.n_states, **recipe.model)
        run = train_full(model, recipe.task, progress=False, **recipe.training)
        history = {"step": np.array(run.step), "validation": np.array(run.validation)} | {
            part: np.array([getattr(found, part) for found in run.roles])
            for part in ("copying", "matching", "chance", "classifying")
        }
    else:
        model = InductionTransformer(**recipe.model).double()
        run = train_induction(model, recipe.task, recipe.stages, progress=False, **recipe.training)
        history = {part: getattr(run, part) for part in ("step", "validation", "copying", "selection", "sharpness")}
    chains = recipe.task.sample(_EVALUATION["n_sequences"], seed=_EVALUATION["seed"])
    value, error = loss(predict_chains(model, chains), chains.answer)
    bayes, _ = loss(posterior_predictive(chains, concentration=recipe.task.concentration), chains.answer)
    # Where one parent dominates, the rows of a kernel are no independent Dirichlet draws, and this is no longer Bayes.
    evaluation = {"loss": value, "loss_se": error, "posterior_predictive": bayes} | _EVALUATION
    path = folder / f"{name}.safetensors"
    save(path, model, history, recipe=asdict(recipe), evaluation=evaluation, seconds=round(run.seconds))
    return path


def _read(name: str | Path) -> tuple[Path, dict, dict[str, torch.Tensor]]:
    is_path = isinstance(name, Path) or str(name).endswith(".safetensors")
    path = Path(name) if is_path else SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {str(name)!r}; there are {', '.join(available())}")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        content = json.loads(header["content"]) if header.get("format") == _FORMAT else None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no whole checkpoint: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or content.get("kind") not in KINDS:
        raise ValueError(f"{path} is no checkpoint of Part II, whose format is {_FORMAT!r}")
    return path, content, tensors
