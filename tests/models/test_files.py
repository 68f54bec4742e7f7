"""What is saved comes back to the bit, what is no checkpoint is refused in words, and what ships is what it says."""

import contextlib
import json
import math
import os
import pickle
import struct
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from icl_nb.checks import TOLERANCE
from icl_nb.evaluation.scores import evaluate
from icl_nb.models import files
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import KINDS, SHIPPED, available, describe, load, load_history, save
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.models.training import train
from icl_nb.shipped import retrain as checkpoints
from icl_nb.shipped.recipes import Recipe
from icl_nb.shipped.retrain import RECIPES, retrain
from icl_nb.symmetry import assert_equivariant, equivariance_error, off_commutant
from icl_nb.tasks.linear import LinearTask

MODELS = {
    "dense": partial(DenseTransformer, 4, 3, depth=2, heads=3, seed=5),
    "equivariant": partial(EquivariantTransformer, 4, 3, depth=2, heads=3, seed=5),
    "four scalars": partial(EquivariantTransformer, 4, 3, depth=2, heads=3, scalars=4, seed=5),
    "smallest": partial(EquivariantTransformer, 1, 2, depth=1),
    "ordinary": partial(OrdinaryTransformer, 4, 3, depth=2, heads=3, blocks=3, seed=5),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def whole(path):
    """A good file to do harm to."""
    save(EquivariantTransformer(depth=2), path, note="good")
    return path


def write(path, content, tensors=None, file_format="icl-nb 2"):
    """A file with any content and a checksum that fits."""
    good = {name: part.detach() for name, part in EquivariantTransformer(depth=2).state_dict().items()}
    tensors = {f"model/{name}": part for name, part in (good if tensors is None else tensors).items()}
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        content = json.dumps(json.loads(content) | {"format": file_format})
    metadata = json.dumps({"content": content, "sha256": files._checksum(content, tensors)})
    save_file(tensors, path, {"icl-nb": metadata})


def refused(path, message, describe_too=True):
    """By all that read, as a ValueError in one line, with no library's exception behind it."""
    for read in (load, describe) if describe_too else (load,):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert type(caught.value) is ValueError and str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Round trips


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_round_trip(build, dtype, path):
    model = build().to(dtype)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = math.pi
    save(model, path)
    again = load(path)
    assert type(again) is type(model) and again.config == model.config and again.dtype == dtype
    assert list(again.state_dict()) == list(model.state_dict())
    assert all(torch.equal(part, model.state_dict()[name]) for name, part in again.state_dict().items())
    batch = LinearTask(6, model.n_features, model.n_classes).sample(3, dtype=dtype)
    assert torch.equal(again(batch.x, batch.context_y), model(batch.x, batch.context_y))
    assert not again.training


def test_loading_widens_at_will_and_narrows_on_demand_alone(path):
    save(EquivariantTransformer(depth=1), path)
    assert load(path).dtype == torch.float32 and load(path, dtype=torch.float64).dtype == torch.float64
    torch.set_default_dtype(torch.float64)
    try:
        assert load(path).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    save(EquivariantTransformer(depth=1).double(), path)
    assert load(path).dtype == torch.float64 and load(path, dtype=torch.float32).dtype == torch.float32
    with pytest.raises(ValueError, match="float16"):
        load(path, dtype=torch.float16)


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_metadata_hold_the_full_configuration(build, path):
    model = build()
    save(model, path, task={"n_points": 7}, lists=[1, 2.5, None, "é"])
    with safe_open(path, "pt") as file:
        content = json.loads(json.loads(file.metadata()["icl-nb"])["content"])
    assert content == describe(path) | {"format": "icl-nb 2"}
    assert content["about"] == {"task": {"n_points": 7}, "lists": [1, 2.5, None, "é"]}
    rebuilt = KINDS[content["kind"]](**content["config"])
    assert rebuilt.config == model.config
    assert [part.shape for part in rebuilt.parameters()] == [part.shape for part in model.parameters()]


def test_folders_are_made_and_text_paths_served(tmp_path):
    path = tmp_path / "deep" / "er" / "model.safetensors"
    save(EquivariantTransformer(), str(path))
    assert load(str(path)).depth == 8


def test_a_resized_model_is_a_model(path):
    model = EquivariantTransformer(depth=2).double().resized(7, 2)
    save(model, path)
    assert (load(path).n_features, load(path).n_classes) == (7, 2) and torch.equal(load(path).m, model.m)


def test_a_loaded_model_can_be_trained_on(whole):
    assert all(part.requires_grad for part in load(whole).parameters())


# No checkpoint


def test_truncated_files(whole):
    complete = whole.read_bytes()
    (header,) = struct.unpack("<Q", complete[:8])
    for length in {
        *range(20),
        *range(20, len(complete), 17),
        8 + header - 1,
        8 + header,
        8 + header + 1,
        len(complete) - 1,
    }:
        whole.write_bytes(complete[:length])
        refused(whole, "not a whole safetensors file, which alone is read")


def test_longer_files(whole):
    whole.write_bytes(whole.read_bytes() + b"\0")
    refused(whole, "not a whole safetensors file")


def test_every_flipped_byte_is_found(path):
    save(EquivariantTransformer(depth=1, scalars=4), path, note="good")
    complete = path.read_bytes()
    for place in range(len(complete)):
        damaged = bytearray(complete)
        damaged[place] ^= 0x15
        path.write_bytes(bytes(damaged))
        for read in (load, describe, load_history):
            with pytest.raises(ValueError, match=r"model\.safetensors"):
                read(path)


def test_the_same_model_has_the_same_bytes(path):
    contents = set()
    for _ in range(10):
        save(EquivariantTransformer(depth=1), path, {"step": np.arange(3)}, one=1, two={"b": 2, "a": 1})
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_a_save_that_fails_leaves_what_was_there(whole, monkeypatch):
    before = whole.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(ValueError, match=r"cannot be written: .*No space left"):
            save(EquivariantTransformer(depth=3), whole)
    assert whole.read_bytes() == before and list(whole.parent.iterdir()) == [whole]


def test_arrays_of_a_training_come_back(path):
    arrays = {"step": np.arange(4), "loss": np.array([0.5, 0.25]), "one": np.float64(2.0)}
    save(EquivariantTransformer(depth=1), path, arrays)
    again = load_history(path)
    assert all(np.array_equal(again[name], part) and again[name].dtype == part.dtype for name, part in arrays.items())
    with pytest.raises(ValueError, match="'history/loss' holds NaN"):
        save(EquivariantTransformer(depth=1), path, {"loss": np.array([math.nan])})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_arrays_that_are_not_finite_are_not_believed(value, path):
    """With a checksum that fits: someone else wrote them."""
    save(EquivariantTransformer(depth=1), path, {"loss": np.array([0.5, 0.25])})
    content, tensors = files.get(path)
    tensors["history/loss"][1] = value
    files.put(path, content, tensors)
    with pytest.raises(ValueError, match="'loss' holds NaN or infinity"):
        load_history(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"\xff" * 100,
        struct.pack("<Q", 50) + b"x" * 50,
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 20) + b'{"m": {"dtype": "F3"',
        b"PK\x03\x04",
        b"depth: 8\n",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_other_bytes(content, path):
    path.write_bytes(content)
    refused(path, "not a whole safetensors file|no checkpoint of this package")


class Trap:
    """Whoever unpickles this makes the folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_is_never_run(tmp_path, path):
    sprung = tmp_path / "sprung"
    forms = {
        "pickle": lambda: path.write_bytes(pickle.dumps(Trap(sprung))),
        "old pickle": lambda: path.write_bytes(pickle.dumps(Trap(sprung), protocol=0)),
        "torch.save": lambda: torch.save({"m": Trap(sprung)}, path),
        "old torch.save": lambda: torch.save({"m": Trap(sprung)}, path, _use_new_zipfile_serialization=False),
    }
    for make in forms.values():
        make()
        refused(path, "not a whole safetensors file, which alone is read .never a pickle.")
        assert not sprung.exists()
    path.write_bytes(pickle.dumps(Trap(sprung)))
    pickle.loads(path.read_bytes())
    assert sprung.exists()  # the trap does work


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "description is missing or no JSON"),
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("null", "must hold kind, config and about"),
        ("[1]", "must hold"),
        ('"dense"', "must hold"),
        ("3", "must hold"),
        ("{}", "must hold"),
        ('{"kind": "dense", "config": {}}', "must hold"),
        ('{"kind": "dense", "config": [], "about": {}}', "must hold"),
        ('{"kind": "dense", "config": {}, "about": null}', "must hold"),
        ('{"config": {}, "about": {}}', "kind None; it must be one of dense, equivariant"),
        ('{"kind": "recurrent", "config": {}, "about": {}}', "kind 'recurrent'; it must be one of"),
        ('{"kind": ["dense"], "config": {}, "about": {}}', "kind"),
        ('{"kind": {}, "config": {}, "about": {}}', "kind"),
    ],
    ids=lambda value: value[:40],
)
def test_descriptions_refused(content, message, path):
    write(path, content)
    refused(path, message)


def test_other_formats(path):
    write(path, '{"kind": "dense", "config": {}, "about": {}}', file_format="icl-nb 3")
    refused(path, "is of the format 'icl-nb 3'; this package reads 'icl-nb 2'")
    save_file({"m": torch.zeros(2)}, path)
    refused(path, "no checkpoint of this package")
    save_file({"m": torch.zeros(2)}, path, {"format": "icl-nb 1", "content": "{}"})
    refused(path, "or one of before its format 'icl-nb 2'")
    save_file({"m": torch.zeros(2)}, path, {"icl-nb": "{}"})
    refused(path, "description is missing")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("equivariant", {"depth": 3}),
        ("equivariant", {"heads": 2}),
        ("equivariant", {"depth": "2"}),
        ("equivariant", {"depth": None}),
        ("equivariant", {"depth": 10**15}),
        ("equivariant", {"depth": 0}),
        ("equivariant", {"n_classes": 1}),
        ("equivariant", {"n_features": 0}),
        ("equivariant", {"scalars": 4}),
        ("equivariant", {"scalars": 5}),
        ("equivariant", {"width": 5}),
        ("dense", {}),
        ("dense", {"scalars": None}),
    ],
    ids=str,
)
def test_the_configuration_of_another_model(kind, change, path):
    config = EquivariantTransformer(depth=2).config | change
    write(path, json.dumps({"kind": kind, "config": config, "about": {}}))
    refused(path, "the weights do not fit the configuration that it states: .{15}", describe_too=False)


@pytest.mark.parametrize("change", [{"n_features": 6}, {"n_classes": 2}, {"depth": 1}, {"heads": 4}], ids=str)
def test_a_dense_model_of_another_size(change, path):
    model = DenseTransformer(5, 3, 2, 1)
    content = {"kind": "dense", "config": model.config | change, "about": {}}
    write(path, json.dumps(content), {name: part.detach() for name, part in model.state_dict().items()})
    refused(path, "the weights do not fit", describe_too=False)


@pytest.mark.parametrize(
    "change",
    [{"depth": 10**15}, {"heads": 10**9}, {"blocks": 10**9}, {"mlp": 10**9}, {"head_size": 3}, {"n_features": None}],
    ids=str,
)
def test_an_ordinary_model_of_another_size(change, path):
    model = OrdinaryTransformer(depth=2, blocks=1, heads=2)
    content = {"kind": "ordinary", "config": model.config | change, "about": {}}
    write(path, json.dumps(content), {name: part.detach() for name, part in model.state_dict().items()})
    refused(path, "the weights do not fit", describe_too=False)


def test_an_ordinary_model_without_its_layers(path):
    model = OrdinaryTransformer(depth=1, blocks=1, heads=2)
    content = {"kind": "ordinary", "config": model.config | {"depth": 0}, "about": {}}
    write(path, json.dumps(content), {"leave.weight": model.leave.weight.detach()})
    refused(path, "the weights do not fit", describe_too=False)


def harm(name, change):
    tensors = {name: part.detach().clone() for name, part in EquivariantTransformer(depth=2).state_dict().items()}
    tensors[name] = change(tensors.get(name))
    return {name: part for name, part in tensors.items() if part is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (harm("m", lambda m: m * math.nan), "'m' holds NaN"),
        (harm("v", lambda v: v / 0), "'v' holds NaN or infinity"),
        (harm("scale", lambda scale: scale / 0), "'scale' holds"),
        (harm("m", lambda m: None), "it holds scale, v and must hold m, scale, v"),
        (harm("scale", lambda scale: None), "it holds m, v and must hold"),
        (harm("bias", lambda _: torch.zeros(2)), "it holds bias, m, scale, v"),
        ({}, "it holds nothing|weights are"),
        (harm("m", lambda m: m[..., :5].contiguous()), "do not fit"),
        (harm("m", lambda m: m[0]), "do not fit"),
        (harm("m", lambda m: m.flatten()), "do not fit"),
        (harm("v", lambda v: v[:1].contiguous()), "do not fit"),
        (harm("scale", lambda scale: torch.ones(3)), "do not fit"),
        (harm("m", lambda m: m.double()), "weights are .*; all must be float32 or all float64"),
        (harm("m", lambda m: m.long()), "torch.int64"),
        ({name: part.half() for name, part in harm("m", lambda m: m).items()}, "weights are torch.float16"),
        ({name: part.long() for name, part in harm("m", lambda m: m).items()}, "weights are torch.int64"),
        ({name: part.to(torch.complex64) for name, part in harm("m", lambda m: m).items()}, "torch.complex64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weights_refused(tensors, message, path):
    content = {"kind": "equivariant", "config": EquivariantTransformer(depth=2).config, "about": {}}
    write(path, json.dumps(content), tensors)
    refused(path, message, describe_too=False)


@pytest.mark.parametrize(
    "name", ["no-such-name", "", "a" * 5000, "a\0b", "a/b", "missing.safetensors", "../checkpoints", None, 3, b"dense"]
)
def test_no_such_checkpoint(name):
    for read in (load, describe):
        with pytest.raises(FileNotFoundError, match=r"no file|no checkpoint named .*; there are"):
            read(name)


def test_a_line_break_in_a_name_is_none_in_the_message():
    with pytest.raises(FileNotFoundError) as caught:
        load("a\nb.safetensors")
    assert "\n" not in str(caught.value) and r"a\nb" in str(caught.value)


def test_no_such_path(tmp_path):
    for path in (tmp_path, tmp_path / "missing.safetensors", tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="no file "):
            load(path)


@pytest.mark.parametrize("device", ["nowhere", "cuda:99", "meta", 1.5], ids=str)
def test_devices_refused(device, whole):
    with pytest.raises(ValueError, match=r"device=.* cannot be used here; it must be 'cpu'"):
        load(whole, device=device)


# What cannot be saved


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (torch.nn.Linear(2, 2), "a Linear cannot be saved; it must be one of .*DenseTransformer"),
        (None, "a NoneType cannot be saved"),
        (EquivariantTransformer().state_dict(), "cannot be saved"),
        (type("Other", (EquivariantTransformer,), {})(), "a Other cannot be saved"),
        (EquivariantTransformer().half(), "weights are torch.float16"),
    ],
    ids=["module", "None", "state", "subclass", "half"],
)
def test_models_refused(model, message, path):
    with pytest.raises(ValueError, match=message):
        save(model, path)
    assert not path.exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["m", "v", "scale"])
def test_weights_that_are_not_finite_are_not_saved(part, value, path):
    model = DenseTransformer()
    with torch.no_grad():
        getattr(model, part).view(-1)[0] = value
    with pytest.raises(ValueError, match=f"'{part}' holds NaN or infinity"):
        save(model, path)
    assert not path.exists()


@pytest.mark.parametrize(
    "value", [object(), torch.zeros(2), math.nan, {1j}, b"x"], ids=lambda value: type(value).__name__
)
def test_what_json_cannot_hold_is_not_kept(value, path):
    with pytest.raises(ValueError, match="must be finite numbers, text, lists and dicts"):
        save(EquivariantTransformer(), path, about_it=value)
    assert not path.exists()


def test_paths_refused(tmp_path, whole):
    model = EquivariantTransformer()
    for path in (tmp_path, tmp_path / "model", tmp_path / "model.pt", None, 3):
        with pytest.raises(ValueError, match=r"it must name a file that ends in \.safetensors"):
            save(model, path)
    with pytest.raises(ValueError, match="cannot be written"):
        save(model, whole / "inside.safetensors")
    assert load(whole).depth == 2


# What ships

PART_1 = [name for name, recipe in RECIPES.items() if recipe.part == 1]


def test_all_recipes_ship():
    assert available() == sorted(RECIPES)


def test_recipes_of_a_family_differ_in_their_seed_alone():
    families = {}
    for name in PART_1:
        recipe = RECIPES[name]
        family, _, seed = name.rpartition("-")
        if seed.isdigit():
            assert recipe.model["seed"] == recipe.training["seed"] == int(seed)
            families.setdefault(family, []).append(recipe)
    assert {"dense", "injected", "projected", "equivariant"} <= set(families)
    for members in families.values():
        assert len(members) >= 3
        for recipe in members:
            assert (recipe.kind, recipe.task) == (members[0].kind, members[0].task)
            assert recipe.model | {"seed": 0} == members[0].model | {"seed": 0}
            assert recipe.training | {"seed": 0} == members[0].training | {"seed": 0}


@pytest.mark.parametrize("name", PART_1)
def test_a_shipped_checkpoint_is_what_it_says(name):
    model, content = load(name), describe(name)
    recipe, about = RECIPES[name], content["about"]
    assert type(model) is KINDS[recipe.kind] and content["kind"] == recipe.kind and model.dtype == torch.float32
    assert content["config"] == model.config
    assert {key: model.config[key] for key in recipe.model if key != "seed"} == {
        key: value for key, value in recipe.model.items() if key != "seed"
    }
    stated = {key: value for key, value in asdict(recipe).items() if value is not None}
    assert about["recipe"] == json.loads(json.dumps(stated))  # tuples become lists
    assert about["task"] == about["recipe"]["task"]
    assert about["training"].items() >= recipe.training.items() and about["training"]["seconds"] > 0
    curve, blocks = about["curve"], recipe.training["steps"] // about["curve"]["every"]
    assert len(curve["loss"]) == len(curve["accuracy"]) == blocks
    assert len(curve["off_commutant"]) == (blocks + 1 if getattr(model, "copies", 1) == 1 and not recipe.teacher else 0)
    assert set(about["versions"]) == {"icl-nb", "torch"}
    if recipe.task == LinearTask():
        least = 0.79 if recipe.tied else 0.8  # chapter 7: tied layers do worst of all
        assert least < about["evaluation"]["accuracy"] < 0.9055  # the Bayes oracle
    if recipe.kind == "ordinary":
        final = [model.off_symmetric(kind).mean().item() for kind in ("scores", "values")]
        assert final == pytest.approx(curve["off_commutant"][-1], abs=1e-4)
        assert len(curve["renaming_error"]) == blocks + 1
    elif curve["off_commutant"]:
        weights = [part.detach() for part in model.weights()]
        final = [off_commutant(part, model.n_features, model.n_classes).mean().item() for part in weights]
        assert final == pytest.approx(curve["off_commutant"][-1], abs=1e-4)


@pytest.mark.parametrize("name", PART_1)
def test_a_shipped_checkpoint_is_as_symmetric_as_its_recipe_makes_it(name):
    task = RECIPES[name].task
    model, batch = load(name), (task if isinstance(task, LinearTask) else LinearTask()).sample(32, seed=2)
    if RECIPES[name].kind == "equivariant" or RECIPES[name].training.get("symmetry") == "projection":
        assert_equivariant(model, batch)
        assert equivariance_error(model.double(), batch) <= (
            TOLERANCE[torch.float64] if RECIPES[name].kind == "equivariant" else TOLERANCE[torch.float32]
        )
    else:
        with pytest.raises(AssertionError, match="is off by"):
            assert_equivariant(model, batch)


@pytest.mark.parametrize("name", [name for name in ("equivariant-0", "dense-0") if name in available()])
def test_a_stored_evaluation_is_reproduced(name):
    """400 fresh tasks x 16 queries: within four standard errors of what the file says of 8,000."""
    stored, report = (
        describe(name)["about"]["evaluation"],
        evaluate(load(name), RECIPES[name].task, n_tasks=400, seed=5),
    )
    for score in ("accuracy", "cross_entropy"):
        error = math.hypot(stored[f"{score}_se"], getattr(report, f"{score}_se"))
        assert abs(stored[score] - getattr(report, score)) < 4 * error


def test_only_checkpoints_lie_among_the_shipped():
    assert {path.suffix for path in SHIPPED.iterdir()} == {".safetensors"}
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 5.5e6


# Retraining


TINY = Recipe(
    "dense",
    {"depth": 2, "heads": 1, "seed": 1},
    {"steps": 100, "batch_size": 4, "n_queries": 2, "symmetry": "projection", "seed": 1},
    LinearTask(4, 2, 2),
)


def test_retraining_a_recipe(monkeypatch, tmp_path):
    """In a process of its own and in this one the weights agree to the bit; the file says all there is to say."""
    monkeypatch.setattr(checkpoints, "RECIPES", {"tiny": TINY})
    (path,) = retrain(folder=tmp_path, jobs=1, progress=False)
    assert path == tmp_path / "tiny.safetensors"
    once, about = load(path), describe(path)["about"]
    again = DenseTransformer(2, 2, **TINY.model)
    train(again, TINY.task, progress=False, **TINY.training)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), again.parameters(), strict=True))
    assert about["recipe"] == {key: part for key, part in asdict(TINY).items() if part is not None} and about[
        "task"
    ] == asdict(TINY.task)
    assert len(about["curve"]["loss"]) == len(about["curve"]["accuracy"]) == 2
    start, *rest = about["curve"]["off_commutant"]
    assert min(start) > 0.001 and len(rest) == 2 and max(map(max, rest)) == 0
    assert off_commutant(once.m.detach(), 2, 2).max() <= TOLERANCE[torch.float32]
    report = evaluate(once, TINY.task)
    assert about["evaluation"] == pytest.approx(asdict(report))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["nothing"]}, "no recipe for nothing; there are recipes for headline, "),
        ({"names": ["headline", "nothing"]}, "no recipe for nothing"),
        ({"names": ["headline"], "jobs": 0}, "jobs=0"),
        ({"names": ["headline"], "jobs": 1.5}, "jobs=1.5"),
    ],
    ids=str,
)
def test_retraining_refuses(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        retrain(folder=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_children_are_made_after_their_parents_and_from_them(monkeypatch, tmp_path):
    """A start and a teacher that are asked for in the same call are those that were just made."""
    ordinary = {"depth": 2, "heads": 2, "blocks": 2, "seed": 0}
    short = {"steps": 2, "batch_size": 8, "n_queries": 4, "learning_rate": 1e-12, "seed": 0}
    recursion = {"depth": 2, "heads": 1, "scalars": 4}
    recipes = {
        "child": Recipe("ordinary", ordinary, short, start="parent"),
        "follower": Recipe("equivariant", recursion, short, start="small", teacher="parent"),
        "small": Recipe("equivariant", recursion | {"seed": 7}, short),
        "parent": Recipe("ordinary", ordinary | {"seed": 3}, short),
    }
    monkeypatch.setattr(checkpoints, "RECIPES", recipes)
    done = [path.stem for path in retrain(folder=tmp_path, jobs=1, progress=False)]
    assert done.index("parent") < done.index("child")
    assert max(done.index("parent"), done.index("small")) < done.index("follower")
    made = {name: load(tmp_path / f"{name}.safetensors") for name in recipes}
    for child, parent in (("child", "parent"), ("follower", "small")):  # the rate is as good as nothing
        pairs = zip(made[child].parameters(), made[parent].parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs), child
    own = OrdinaryTransformer(**ordinary)
    assert not torch.allclose(made["child"].leave.weight, own.leave.weight, atol=1e-3)


def test_a_folder_that_takes_no_file_is_found_out_before_training(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "RECIPES", {"tiny": TINY})
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        retrain(folder=tmp_path / "file", progress=False)
