"""Trained models on disk: one format for both parts of the book, which holds numbers and text and runs no code.

A file is a safetensors file. Its tensors are the weights, `model/...`, and arrays of the training, `history/...`; its
metadata are one JSON text with kind, configuration, all that is worth knowing about the model, and a checksum of
everything, so that no flipped byte goes unseen.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from icl_nb.checks import DTYPES, check_device, check_dtype
from icl_nb.induction.models import FullInductionTransformer, InductionTransformer
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.ordinary import OrdinaryTransformer

SHIPPED = Path(__file__).parent.parent / "shipped" / "checkpoints"


KINDS: dict[str, Any] = {
    "dense": DenseTransformer,
    "equivariant": EquivariantTransformer,
    "ordinary": OrdinaryTransformer,
    "simplified": InductionTransformer,
    "full": FullInductionTransformer,
}


_FORMAT = "icl-nb 2"


def available() -> list[str]:
    """Names of the checkpoints that ship with the package.

    Example:
        >>> {"headline", "joint-0"} <= set(available())
        True
    """
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def save(model: nn.Module, path: str | Path, history: dict[str, np.ndarray] | None = None, **about) -> None:
    """Write a model to a safetensors file whose metadata hold its full configuration; the same model, the same bytes.

    The file is there whole or not at all: it is written beside its place and then put there.

    Arguments:
        model: of one of the classes of `KINDS`.
        path: where to, ending in .safetensors; folders are made.
        history: arrays of its training, given back by `load_history`.
        about: anything that JSON can hold, kept beside the configuration and given back by `describe`.

    Raises:
        ValueError: a model of another class or dtype, a number that is not finite, a path that is no such file or
            cannot be written, or something about it that JSON cannot hold.

    Example:
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
    weights = {f"model/{name}": part.detach().cpu().contiguous() for name, part in model.state_dict().items()}
    arrays = {f"history/{name}": torch.from_numpy(np.array(part)) for name, part in (history or {}).items()}
    _check_weights(weights, "the model")
    _check_finite(arrays, "the model")
    put(path, {"format": _FORMAT, "kind": kind, "config": model.config, "about": about}, weights | arrays)


def put(path: str | Path, content: dict, tensors: dict[str, Tensor]) -> None:
    """Write tensors and what JSON can hold to a safetensors file, with a checksum of all: the same, the same bytes.

    Raises:
        ValueError: a path that is no such file or cannot be written, or content that JSON cannot hold.
    """
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"what is kept about a model must be finite numbers, text, lists and dicts: {error}") from None
    # One entry alone: the library writes several in no particular order, and the same model would have several files.
    metadata = {"icl-nb": json.dumps({"sha256": _checksum(text, tensors), "content": text})}
    path = check_path(path)
    try:
        write_whole(path, to_bytes(tensors, metadata))
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {_one_line(error)}") from None


def get(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """What `put` wrote: content and tensors.

    Raises:
        ValueError: another file, or one that is not to the byte what was written; a pickle is never opened.
    """
    # safetensors holds numbers and text and runs no code, which is why a pickle is refused and never opened.
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a whole safetensors file, which alone is read (never a pickle): {_one_line(error)}"
        ) from None
    if "icl-nb" not in header:
        raise ValueError(f"{path} is no checkpoint of this package, or one of before its format {_FORMAT!r}")
    try:
        outer = json.loads(header["icl-nb"])
        text, checksum = outer["content"], outer["sha256"]
        content = json.loads(text)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path} is damaged: its description is missing or no JSON") from None
    if checksum != _checksum(text, tensors):
        raise ValueError(f"{path} is damaged: it is not what was saved, by its checksum")
    return content, tensors


def check_path(path: str | Path, *, writable: bool = False) -> Path:
    """The path, if it names what `save` writes and `load` knows for a file.

    Arguments:
        path: of a file, ending in .safetensors.
        writable: whether to try at once if a file can be made there, so that a training need not be lost to a folder
            that takes none.

    Raises:
        ValueError: it does not end in .safetensors, is a folder, or cannot be written to.

    Example:
        >>> check_path("mine.safetensors").name
        'mine.safetensors'
    """
    if not isinstance(path, (str, Path)) or Path(path).suffix != ".safetensors" or Path(path).is_dir():
        raise ValueError(f"path={str(path)!r}; it must name a file that ends in .safetensors")
    path = Path(path)
    if writable:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {_one_line(error)}") from None
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place in one step: whoever reads it sees the old one or the new one, never a part.

    Arguments:
        path: where to; folders are made.
        content: all of the file.

    Raises:
        OSError: the folder cannot be made or takes no file, or the disk is full; what was there stays as it was.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(Path(folder) / "new" / "a.txt", b"whole")
        ...     (Path(folder) / "new" / "a.txt").read_bytes()
        b'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # a temporary file is its owner's alone
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def load(name: str | Path, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Any:
    """The model of a shipped checkpoint, or of a file.

    Arguments:
        name: one of `available()`, or a path that ends in .safetensors.
        dtype: of its weights: float32 or float64. None is torch's default dtype, or that of the file where it is wider,
            so that nothing is lost unasked.
        device: where its weights go.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of this package: truncated, damaged, a pickle, weights that do not fit the
            configuration or are not finite; a dtype other than these, or a device that this machine does not have.

    Example:
        >>> model = load("headline")
        >>> model.depth, model.heads
        (24, 2)
        >>> load("joint-0").parents()
        (1, 2)
    """
    check_device(device)
    path = _locate(name)
    content, tensors = _read(path)
    weights = _group(tensors, "model")
    _check_weights(weights, str(path))
    kind, config = KINDS[content["kind"]], content["config"]
    try:
        # The size first, so that a wrong configuration asks for no memory.
        kind.check_shapes(config, {name: tuple(part.shape) for name, part in weights.items()})
        model = kind(**config)
        stored = next(iter(weights.values())).dtype
        model.to(stored).load_state_dict(weights)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: the weights do not fit the configuration that it states: {_one_line(error)}"
        ) from None
    wanted = torch.promote_types(stored, torch.get_default_dtype()) if dtype is None else check_dtype(dtype)
    return model.to(dtype=wanted, device=device).eval()


def load_history(name: str | Path) -> dict[str, np.ndarray]:
    """The arrays of its training that a checkpoint holds; those of Part II do.

    Arguments:
        name: one of `available()`, or a path that ends in .safetensors.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of this package.

    Example:
        >>> load_history("joint-0")["step"][:3].tolist()
        [0, 1, 2]
    """
    path = _locate(name)
    arrays = _group(_read(path)[1], "history")
    _check_finite(arrays, str(path))
    return {name: part.numpy() for name, part in arrays.items()}


def describe(name: str | Path) -> dict:
    """What a checkpoint says of itself: `kind`, `config`, and `about`, which for a shipped one holds recipe, task,
    training and evaluation.

    Arguments:
        name: one of `available()`, or a path that ends in .safetensors.

    Raises:
        FileNotFoundError: no such checkpoint or file.
        ValueError: not a checkpoint of this package.

    Example:
        >>> describe("headline")["about"]["task"]["n_points"]
        40
    """
    content, _ = _read(_locate(name))
    return {part: content[part] for part in ("kind", "config", "about")}


def _locate(name: str | Path) -> Path:
    is_path = isinstance(name, Path) or str(name).endswith(".safetensors") or "/" in str(name)
    path = Path(name) if is_path else SHIPPED / f"{name}.safetensors"
    try:
        found = path.is_file()
    except (OSError, ValueError):  # a name too long for the file system, or with a null byte
        found = False
    if not found:
        shown = path if str(path).isprintable() else repr(str(path))  # a line break in a name is none in the message
        what = f"no file {shown}" if is_path else f"no checkpoint named {name!r}; there are {', '.join(available())}"
        raise FileNotFoundError(what)
    return path


def _read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    content, tensors = get(path)
    if isinstance(content, dict) and content.get("format") != _FORMAT:
        raise ValueError(f"{path} is of the format {content.get('format')!r}; this package reads {_FORMAT!r}")
    parts = [content.get(part) for part in ("config", "about")] if isinstance(content, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{path} is damaged: its description must hold kind, config and about")
    if content.get("kind") not in list(KINDS):
        raise ValueError(f"{path} holds a model of kind {content.get('kind')!r}; it must be one of {', '.join(KINDS)}")
    return content, tensors


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    """Of the description, and of name, dtype, shape and bytes of every tensor."""
    digest = hashlib.sha256(text.encode())
    for name, part in sorted(tensors.items()):
        digest.update(f"\0{name}\0{part.dtype}\0{tuple(part.shape)}\0".encode())
        digest.update(part.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _group(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{group}/"): part for name, part in tensors.items() if name.startswith(f"{group}/")}


def _check_weights(tensors: dict[str, Tensor], what: str) -> None:
    if len(dtypes := {tensor.dtype for tensor in tensors.values()}) != 1 or not dtypes <= set(DTYPES):
        stated = ", ".join(map(str, dtypes)) or "none"
        raise ValueError(f"{what}: weights are {stated}; all must be float32 or all float64")
    _check_finite(tensors, what)


def _check_finite(tensors: dict[str, Tensor], what: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{what}: {name.removeprefix('model/')!r} holds NaN or infinity")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
