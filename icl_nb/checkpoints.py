"""Checkpoints: how one is written and read, those that ship, and the recipes that re-create them."""

import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from icl_nb.evaluation import evaluate
from icl_nb.models import DenseTransformer, EquivariantTransformer, InContextTransformer
from icl_nb.symmetry import off_commutant
from icl_nb.tasks import LinearTask
from icl_nb.training import train

SHIPPED = Path(__file__).parent / "checkpoints"
KINDS = {"dense": DenseTransformer, "equivariant": EquivariantTransformer}

_FORMAT = "icl-nb 1"
_CURVE_EVERY = 50


@dataclass(frozen=True)
class Recipe:
    """All that a shipped checkpoint is made from.

    Arguments:
        kind: "dense" or "equivariant".
        model: keyword arguments of the model, its seed among them.
        training: keyword arguments of `train`.
        task: what it is trained and evaluated on.
    """

    kind: str
    model: dict
    training: dict
    task: LinearTask = field(default_factory=LinearTask)


def _family(kind: str, symmetry: str | None = None) -> list[Recipe]:
    """Five seeds of one way to impose the symmetry, alike in everything else: chapter 3 compares them."""
    training = {"steps": 4000, "learning_rate": 1e-2, "symmetry": symmetry}
    return [Recipe(kind, {"depth": 8, "heads": 1, "seed": seed}, training | {"seed": seed}) for seed in range(5)]


_FAMILIES = {
    "dense": _family("dense"),
    "injected": _family("dense", "injection"),
    "projected": _family("dense", "projection"),
    "equivariant": _family("equivariant"),
}

RECIPES: dict[str, Recipe] = {
    "headline": Recipe("equivariant", {"depth": 24, "heads": 2}, {"steps": 10_000, "learning_rate": 7e-3}),
} | {f"{name}-{seed}": recipe for name, family in _FAMILIES.items() for seed, recipe in enumerate(family)}


def available() -> list[str]:
    """Names of the checkpoints that ship with the package.

    Example:
        >>> "headline" in available()
        True
    """
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def save(model: InContextTransformer, path: str | Path, **about) -> None:
    """Write a model to a safetensors file whose metadata hold its full configuration.

    Arguments:
        model: a `DenseTransformer` or an `EquivariantTransformer`.
        path: where to; folders are made.
        about: anything that JSON can hold, kept beside the configuration and given back by `describe`.

    Raises:
        ValueError: a model of another class, or a weight that is not finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(EquivariantTransformer(depth=2), Path(folder) / "mine.safetensors")
        ...     load(Path(folder) / "mine.safetensors").depth
        2
    """
    kind = next((name for name, cls in KINDS.items() if type(model) is cls), None)
    if kind is None:
        raise ValueError(
            f"a {type(model).__name__} cannot be saved; it must be one of {[c.__name__ for c in KINDS.values()]}"
        )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    _check_finite(tensors, "the model")
    content = {"kind": kind, "config": model.config, "about": about}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": _FORMAT, "content": json.dumps(content, sort_keys=True)})


def load(name: str | Path, *, device: str | torch.device = "cpu") -> InContextTransformer:
    """The model of a shipped checkpoint, or of a file.

    Arguments:
        name: one of `available()`, or a path that ends in .safetensors.
        device: where its weights go.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of this package: truncated, a pickle, or weights that do not fit the configuration.

    Example:
        >>> model = load("headline")
        >>> model.depth, model.heads
        (24, 2)
    """
    path = _locate(name)
    content, tensors = _read(path)
    try:
        model = KINDS[content["kind"]](**content["config"])
        dtype = tensors["scale"].dtype
        model.to(dtype).load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: the weights do not fit the configuration that it states: {_first_line(error)}"
        ) from None
    _check_finite(tensors, str(path))
    return model.to(device).eval()


def describe(name: str | Path) -> dict:
    """What a checkpoint says of itself: `kind`, `config`, and `about`, which for a shipped one holds task, training,
    evaluation and the curve of its training.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of this package.

    Example:
        >>> describe("headline")["about"]["task"]["n_points"]
        40
    """
    return _read(_locate(name))[0]


def retrain(
    names: list[str] | None = None, *, folder: str | Path = SHIPPED, jobs: int = 2, progress: bool = True
) -> list[Path]:
    """Re-create shipped checkpoints from their recipes, several processes side by side.

    Arguments:
        names: keys of `RECIPES`; all of them by default.
        folder: where to write.
        jobs: processes.
        progress: show a bar of the runs.

    Returns:
        the files, in the order in which they were done.

    Raises:
        ValueError: a name without a recipe.
    """
    names = list(RECIPES if names is None else names)
    if unknown := sorted(set(names) - set(RECIPES)):
        raise ValueError(f"no recipe for {', '.join(unknown)}; there are recipes for {', '.join(RECIPES)}")
    with ProcessPoolExecutor(jobs) as pool:
        runs = [pool.submit(_follow, name, Path(folder)) for name in names]
        bar = tqdm(as_completed(runs), total=len(runs), desc="checkpoints", disable=None if progress else True)
        return [run.result() for run in bar]


def _follow(name: str, folder: Path) -> Path:
    """Train one recipe, evaluate it, and save it with its curve."""
    recipe = RECIPES[name]
    model = KINDS[recipe.kind](recipe.task.n_features, recipe.task.n_classes, **recipe.model)
    residual = {}

    def watch(step: int, model: InContextTransformer) -> None:
        if step % _CURVE_EVERY == 0:
            m, v = model.weights()
            residual[step] = [
                round(off_commutant(part.detach(), model.n_features, model.n_classes).mean().item(), 4)
                for part in (m, v)
            ]

    history = train(model, recipe.task, progress=False, on_step=watch, **recipe.training)
    report = evaluate(model, recipe.task)
    path = folder / f"{name}.safetensors"
    about = {
        "recipe": asdict(recipe),
        "task": asdict(recipe.task),
        "training": recipe.training | {"seconds": round(history.seconds)},
        "evaluation": asdict(report),
        "curve": {
            "every": _CURVE_EVERY,
            "loss": _block_means(history.loss),
            "accuracy": _block_means(history.accuracy),
            "off_commutant": list(residual.values()),
        },
        "versions": {package: metadata.version(package) for package in ("icl-nb", "torch")},
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    save(model, path, **about)
    return path


def _block_means(values: list[float]) -> list[float]:
    blocks = torch.tensor(values[: len(values) // _CURVE_EVERY * _CURVE_EVERY], dtype=torch.float64).reshape(
        -1, _CURVE_EVERY
    )
    return [round(mean, 5) for mean in blocks.mean(1).tolist()]


def _locate(name: str | Path) -> Path:
    is_path = isinstance(name, Path) or str(name).endswith(".safetensors") or "/" in str(name)
    path = Path(name) if is_path else SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        what = f"no file {path}" if is_path else f"no checkpoint named {name!r}; there are {', '.join(available())}"
        raise FileNotFoundError(what)
    return path


def _read(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    # safetensors holds numbers and text and runs no code, which is why a pickle is refused and never opened.
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {_first_line(error)}") from None
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is no checkpoint of icl_nb: its format is {header.get('format')!r}, not {_FORMAT!r}")
    try:
        return json.loads(header["content"]), tensors
    except (KeyError, json.JSONDecodeError):
        raise ValueError(f"{path} is damaged: its description is missing or no JSON") from None


def _check_finite(tensors: dict[str, torch.Tensor], what: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{what}: the weights {name!r} hold NaN or infinity")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
