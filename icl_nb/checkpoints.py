"""Checkpoints: how one is written and read, those that ship, and the recipes that re-create them."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from icl_nb.checks import DTYPES, check_count, check_device, check_dtype
from icl_nb.evaluation import evaluate
from icl_nb.lens import Lens, follow
from icl_nb.models import DenseTransformer, EquivariantTransformer, InContextTransformer
from icl_nb.ordinary import OrdinaryTransformer, renaming_error
from icl_nb.symmetry import off_commutant
from icl_nb.tasks import LinearTask, MixedTask
from icl_nb.training import train

SHIPPED = Path(__file__).parent / "checkpoints"
KINDS = {"dense": DenseTransformer, "equivariant": EquivariantTransformer, "ordinary": OrdinaryTransformer}

_FORMAT = "icl-nb 1"
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
    """

    kind: str
    model: dict
    training: dict
    task: LinearTask | MixedTask = field(default_factory=LinearTask)
    start: str | None = None
    teacher: str | None = None


_PLAIN = LinearTask()
_TRAINING = {"steps": 4000, "learning_rate": 1e-2}


def _family(
    kind: str, *, seeds: int = 5, symmetry: str | None = None, task: LinearTask = _PLAIN, **model
) -> list[Recipe]:
    """Several seeds of one kind of model, eight layers of one head, alike in everything else: for comparisons."""
    return [
        Recipe(
            kind, {"depth": 8, "heads": 1, "seed": seed} | model, _TRAINING | {"seed": seed, "symmetry": symmetry}, task
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
}


def _memory(copies: int, depth: int, heads: int, steps: int, seed: int = 0, rate: float | None = None) -> Recipe:
    """Four scalars a head, m^2 of each with m copies. With a memory a high learning rate is unstable."""
    model = {"depth": depth, "heads": heads, "scalars": 4} | ({"copies": copies} if copies > 1 else {})
    training = {"steps": steps, "learning_rate": rate or (1e-2 if copies == 1 else 5e-3)}
    return Recipe("equivariant", model | {"seed": seed}, training | {"seed": seed})


# Beyond the paper: the frontier of depth and copies, and the best without and with a memory.
_FRONTIER = (
    {f"copies{m}-{seed}": _memory(m, 6, 2, 4000, seed) for m in (1, 2, 3) for seed in range(3)}
    | {f"copies{m}-deep-{seed}": _memory(m, 12, 2, 5000, seed) for m in (1, 2, 3) for seed in range(3)}
    | {"deep": _memory(1, 24, 2, 8000, rate=7e-3), "memory": _memory(3, 12, 3, 8000)}
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
    name: Recipe(
        "equivariant",
        {"depth": 12, "heads": 3, "scalars": 4} | copies,
        {"steps": 1000, "learning_rate": 5e-3, "seed": 0},
        start=start,
        teacher="ordinary-0",
    )
    for name, start, copies in (("follower", "recursion", {}), ("follower-memory", "memory", {"copies": 3}))
}

RECIPES: dict[str, Recipe] = (
    {
        # Chapter 3: the best with all twelve coordinates. Chapter 5: the best with four, a recursion of 144 scalars.
        "headline": Recipe("equivariant", {"depth": 24, "heads": 2}, {"steps": 10_000, "learning_rate": 7e-3}),
        "recursion": Recipe(
            "equivariant", {"depth": 12, "heads": 3, "scalars": 4}, {"steps": 8_000, "learning_rate": 1e-2}
        ),
        # Chapter 8: the table of the estimator, trained on many sizes.
        "table": Recipe(
            "equivariant",
            {"depth": 12, "heads": 3, "scalars": 4},
            {"steps": 6000, "learning_rate": 1e-2},
            MixedTask(correlation=0.9, bias=0.3),
        ),
        # Chapter 8: the plain task of chapter 1 at every size, for the maps of regret.
        "sizes": Recipe(
            "equivariant",
            {"depth": 12, "heads": 3, "scalars": 4},
            {"steps": 5000, "learning_rate": 1e-2},
            MixedTask(n_points=(10, 128), n_features=(2, 20), n_classes=(2, 10)),
        ),
    }
    | {f"{name}-{seed}": recipe for name, family in _FAMILIES.items() for seed, recipe in enumerate(family)}
    | _FRONTIER
    | _ORDINARY
)


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
        path: where to, ending in .safetensors; folders are made.
        about: anything that JSON can hold, kept beside the configuration and given back by `describe`.

    Raises:
        ValueError: a model of another class or dtype, a weight that is not finite, a path that is no such file, or
            something about it that JSON cannot hold.

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
    _check_weights(tensors, "the model")
    try:
        content = json.dumps({"kind": kind, "config": model.config, "about": about}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"what is kept about a model must be finite numbers, text, lists and dicts: {error}") from None
    path = check_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, {"format": _FORMAT, "content": content})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be written: {_one_line(error)}") from None


def check_path(path: str | Path) -> Path:
    """The path, if `save` can write to it and `load` will know it for a file."""
    if not isinstance(path, (str, Path)) or Path(path).suffix != ".safetensors" or Path(path).is_dir():
        raise ValueError(f"path={str(path)!r}; it must name a file that ends in .safetensors")
    return Path(path)


def load(
    name: str | Path, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> InContextTransformer:
    """The model of a shipped checkpoint, or of a file.

    Arguments:
        name: one of `available()`, or a path that ends in .safetensors.
        dtype: of its weights: float32 or float64. None is torch's default dtype, or that of the file where it is wider,
            so that nothing is lost unasked.
        device: where its weights go.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of this package: truncated, a pickle, weights that do not fit the configuration
            or are not finite; a dtype other than these, or a device that this machine does not have.

    Example:
        >>> model = load("headline")
        >>> model.depth, model.heads
        (24, 2)
    """
    check_device(device)
    path = _locate(name)
    content, tensors = _read(path)
    _check_weights(tensors, str(path))
    try:
        kind, config = content["kind"], content["config"]
        # The size first, so that a damaged configuration asks for no memory.
        check_size = _check_ordinary if kind == "ordinary" else _check_stacked
        check_size(config, tensors)
        model = KINDS[kind](**config)
        stored = next(iter(tensors.values())).dtype
        model.to(stored).load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: the weights do not fit the configuration that it states: {_one_line(error)}"
        ) from None
    wanted = torch.promote_types(stored, torch.get_default_dtype()) if dtype is None else check_dtype(dtype)
    return model.to(dtype=wanted, device=device).eval()


def _check_stacked(config: dict, tensors: dict) -> None:
    if set(tensors) != {"m", "v", "scale"}:
        raise ValueError(f"it holds {', '.join(sorted(tensors)) or 'nothing'} and must hold m, scale, v")
    stated = config.get("depth"), config.get("heads")
    if stated != tuple(tensors["m"].shape[:2]):
        raise ValueError(f"depth and heads are {stated}, and m has shape {tuple(tensors['m'].shape)}")


def _check_ordinary(config: dict, tensors: dict) -> None:
    first = [f"layers.0.{part}.weight" for part in ("attention_query", "up")]
    depth = sum(name.endswith(".up.weight") for name in tensors)
    if config.get("depth") != depth or not set(first) <= set(tensors):
        raise ValueError(f"depth is {config.get('depth')!r}, and it holds {depth} layers")
    (query, width), (hidden, _) = (tensors[name].shape for name in first)
    heads, size, mlp, blocks = (config.get(name) for name in ("heads", "head_size", "mlp", "blocks"))
    tokens = config.get("n_features") + config.get("n_classes")
    if (heads * size, mlp * width, blocks * tokens) != (query, hidden, width):
        raise ValueError(f"heads={heads}, head_size={size}, mlp={mlp}, blocks={blocks} are not those of the weights")


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
        ValueError: a name without a recipe, or fewer than 1 process.
    """
    return run_recipes(_follow, RECIPES, names, folder, jobs, progress)


def run_recipes(follow: Callable, recipes: dict, names, folder: str | Path, jobs: int, progress: bool) -> list[Path]:
    """Call `follow(name, recipe, folder)` for each name, several processes side by side; see `retrain`."""
    check_count("jobs", jobs, 1)
    names = list(recipes if names is None else names)
    if unknown := sorted(set(names) - set(recipes)):
        raise ValueError(f"no recipe for {', '.join(unknown)}; there are recipes for {', '.join(recipes)}")
    # Fresh processes: a fork of one that has threads (torch's, a progress bar's) may hang.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(follow, name, recipes[name], Path(folder)) for name in names]
        bar = tqdm(as_completed(runs), total=len(runs), desc="checkpoints", disable=None if progress else True)
        return [run.result() for run in bar]


def _follow(name: str, recipe: Recipe, folder: Path) -> Path:
    """Train one recipe, evaluate it, and save it with its curve."""
    goal = recipe.task if isinstance(recipe.task, LinearTask) else LinearTask()
    model = KINDS[recipe.kind](goal.n_features, goal.n_classes, **recipe.model)
    if recipe.start:
        model.load_state_dict(load(recipe.start).state_dict())
        model.train()
    residual, broken = {}, {}
    trial = goal.sample(64, seed=1, n_queries=4)

    def watch(step: int, model: InContextTransformer) -> None:
        if step % _CURVE_EVERY:
            return
        if recipe.kind == "ordinary":
            broken[step] = round(renaming_error(model, trial, n_elements=1), 5)
            residual[step] = [round(float(model.off_symmetric(name).mean()), 4) for name in ("scores", "values")]
        elif model.copies == 1:
            m, v = model.weights()
            residual[step] = [
                round(off_commutant(part.detach(), model.n_features, model.n_classes).mean().item(), 4)
                for part in (m, v)
            ]

    if recipe.teacher:
        lens = Lens(load(recipe.teacher), goal.sample(300, seed=2, n_queries=16))
        history = follow(model, lens, goal, **recipe.training)
    else:
        history = train(model, recipe.task, progress=False, on_step=watch, **recipe.training)
    report = evaluate(model, goal)
    path = folder / f"{name}.safetensors"
    about = {
        "recipe": {key: value for key, value in asdict(recipe).items() if value is not None},
        "task": asdict(recipe.task),
        "training": recipe.training | {"seconds": round(history.seconds)},
        "evaluation": asdict(report),
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
    try:
        found = path.is_file()
    except OSError:  # a name too long for the file system
        found = False
    if not found:
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
        raise ValueError(
            f"{path} is not a whole safetensors file, which alone is read (never a pickle): {_one_line(error)}"
        ) from None
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is no checkpoint of icl_nb: its format is {header.get('format')!r}, not {_FORMAT!r}")
    try:
        content = json.loads(header["content"])
    except (KeyError, ValueError, RecursionError):
        raise ValueError(f"{path} is damaged: its description is missing or no JSON") from None
    parts = [content.get(part) for part in ("config", "about")] if isinstance(content, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{path} is damaged: its description must hold kind, config and about")
    if content.get("kind") not in list(KINDS):
        raise ValueError(f"{path} holds a model of kind {content.get('kind')!r}; it must be one of {', '.join(KINDS)}")
    return content, tensors


def _check_weights(tensors: dict[str, torch.Tensor], what: str) -> None:
    if len(dtypes := {tensor.dtype for tensor in tensors.values()}) > 1 or not dtypes <= set(DTYPES):
        raise ValueError(f"{what}: weights are {', '.join(map(str, dtypes))}; all must be float32 or all float64")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{what}: the weights {name!r} hold NaN or infinity")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
