"""The recursion against the network it came from, against loops, and on its own."""

import ast
import copy
import math
import pickle
import sys
import tracemalloc
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_nb import recursion as module
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import load, save
from icl_nb.recursion import SCALARS, Recursion, quick_step, step
from icl_nb.symmetry import COORDINATES, coordinates, permute_batch
from icl_nb.tasks.linear import LinearTask

EXACT = 1e-12

shapes = st.fixed_dictionaries(
    {
        "n_points": st.integers(1, 12),
        "n_features": st.integers(1, 6),
        "n_classes": st.integers(2, 5),
        "depth": st.integers(1, 5),
        "heads": st.integers(1, 3),
        "n_queries": st.integers(1, 3),
        "unlabelled": st.sampled_from([0.0, 0.4]),
        "seed": st.integers(0, 10**6),
    }
)


def four_scalars(n_features, n_classes, depth, heads, seed, size=0.7):
    """A four-scalar model whose scalars are as large as trained ones."""
    model = EquivariantTransformer(n_features, n_classes, depth, heads, scalars=4).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (model.m, model.v):
            part.copy_(size * torch.randn(part.shape, generator=generator, dtype=torch.float64))
    return model


def make(n_points, n_features, n_classes, depth, heads, n_queries, unlabelled, seed):
    """A model and a batch for it."""
    task = LinearTask(n_points, n_features, n_classes, unlabelled=unlabelled)
    batch = task.sample(3, seed=seed, n_queries=n_queries, dtype=torch.float64)
    return four_scalars(n_features, n_classes, depth, heads, seed), batch


def random_recursion(depth=3, heads=2, n_classes=3, seed=0):
    scalars = 0.5 * np.random.default_rng(seed).normal(size=(4, depth, heads))
    return Recursion(dict(zip(SCALARS, scalars, strict=True)), n_classes, scale=2.0)


def by_loops(recursion, x, y):
    """One task, one query, every sum written out: x (n + 1, d) and y (n,) as lists."""
    n, d, classes = len(y), len(x[0]), range(recursion.n_classes)
    x = [list(point) for point in x]
    u = [[(c == label) - 1 / recursion.n_classes if label >= 0 else 0.0 for c in classes] for label in [*y, -1]]
    for layer in recursion.table:
        new_x, new_u = [list(point) for point in x], [list(label) for label in u]
        for head, i in product(range(len(layer)), range(n + 1)):
            weights = []
            for j in range(n):
                features = sum(x[i][f] * x[j][f] for f in range(d))
                labels = sum(u[i][c] * u[j][c] for c in classes)
                weights.append(math.exp(layer.alpha[head] * features + layer.beta[head] * labels))
            for j in range(n):
                share = weights[j] / sum(weights)
                for f in range(d):
                    new_x[i][f] += layer.gamma[head] * share * x[j][f]
                for c in classes:
                    new_u[i][c] += layer.delta[head] * share * u[j][c]
        x, u = new_x, new_u
    return [recursion.scale * value for value in u[-1]]


# Against the network


@given(shapes)
def test_equals_the_four_scalar_model(shape):
    model, batch = make(**shape)
    recursion = Recursion.from_model(model)
    with torch.no_grad():
        logits = model(batch.x, batch.context_y).numpy()
    ours = recursion(batch.x, batch.context_y)
    assert ours.shape == logits.shape and ours.dtype == np.float64
    assert np.abs(ours - logits).max() <= EXACT * max(1, np.abs(logits).max())


@given(shapes)
def test_trajectory_equals_the_models(shape):
    model, batch = make(**shape)
    tokens, attention = (part.numpy() for part in model.trajectory(batch.x, batch.context_y))
    path = Recursion.from_model(model).trajectory(batch.x, batch.context_y)
    d = shape["n_features"]
    for ours, theirs in ((path.x, tokens[..., :d]), (path.u, tokens[..., d:]), (path.attention, attention)):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= EXACT * max(1, np.abs(theirs).max())


def test_equals_a_deep_float32_model():
    model = EquivariantTransformer(depth=12, heads=2, scalars=4, seed=1)
    batch = LinearTask().sample(50, seed=2, n_queries=4)
    with torch.no_grad():
        logits = model(batch.x, batch.context_y).numpy()
    assert np.abs(Recursion.from_model(model)(batch.x, batch.context_y) - logits).max() <= 1e-4


def test_differs_where_a_scalar_does():
    """The comparison above would see an error in any one scalar that matters."""
    model, batch = make(8, 3, 3, 3, 2, 2, 0.0, seed=5)
    recursion = Recursion.from_model(model)
    for name in SCALARS:
        changed = recursion.table[name].copy()
        changed[1, 1] += 1e-6
        other = recursion.replace(**{name: changed})
        difference = np.abs(other(batch.x, batch.context_y) - recursion(batch.x, batch.context_y)).max()
        assert difference > 1e3 * EXACT, name


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_equals_loops(seed, n_classes):
    recursion = random_recursion(n_classes=n_classes, seed=seed)
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(1, 5, 2)), random.integers(-1, n_classes, (1, 4))
    y[0, 0] = 0
    loops = np.array(by_loops(recursion, x[0].tolist(), y[0].tolist()))
    assert np.abs(recursion(x, y)[0] - loops).max() <= EXACT * max(1, np.abs(loops).max())


# Reading it off a model


def test_reads_the_identity_coordinates():
    for model in (DenseTransformer(depth=3, heads=2, seed=1), EquivariantTransformer(depth=3, heads=2, seed=1)):
        table = Recursion.from_model(model.double()).table
        read = [coordinates(part.detach(), 5, 3) for part in model.weights()]
        for name, part, coordinate in zip(SCALARS, [0, 0, 1, 1], ["I_d", "I_K"] * 2, strict=True):
            theirs = read[part][..., COORDINATES.index(coordinate)].numpy()
            assert np.abs(table[name] - theirs).max() <= EXACT


@given(shapes)
def test_drops_exactly_nothing_of_four_scalars(shape):
    model, _ = make(**shape)
    recursion = Recursion.from_model(model)
    assert not recursion.dropped.any() and "nothing was dropped" in repr(recursion)
    assert (recursion.table.alpha == model.m[..., 0].detach().numpy()).all()
    assert (recursion.table.delta == model.v[..., 1].detach().numpy()).all()


def test_says_what_it_drops():
    model = EquivariantTransformer(4, 3, depth=2, heads=2, scalars=4).double()
    dense = DenseTransformer(4, 3, depth=2, heads=2).double()
    with torch.no_grad():
        for part, weights in zip((dense.m, dense.v), model.weights(), strict=True):
            part.copy_(weights)
        dense.m[1, 0, 0, 1] += 3.0  # off-diagonal: the coordinate of I_d falls by 3 / 12, the mean of the others
    left_out = np.sqrt(9 + 4 * 0.25**2)
    size = np.sqrt(sum((part[1] ** 2).sum().item() for part in dense.weights()))
    dropped = Recursion.from_model(dense).dropped
    assert dropped[0] == 0
    assert dropped[1] == pytest.approx(left_out / size, rel=EXACT)


def test_reads_weights_in_double_precision():
    """Means of float32 entries, taken in float32, would differ from those of the same numbers in float64."""
    model = DenseTransformer(depth=2)
    ours, exact = Recursion.from_model(model), Recursion.from_model(copy.deepcopy(model).double())
    assert (ours.table == exact.table).all() and (ours.dropped == exact.dropped).all()


def test_a_layer_of_zeros_drops_nothing():
    """It holds nothing, of which no share can be taken: 0, and neither NaN nor a warning."""
    model = DenseTransformer(depth=2)
    with torch.no_grad():
        model.m[0], model.v[0] = 0, 0
    recursion = Recursion.from_model(model)
    assert recursion.dropped[0] == 0 < recursion.dropped[1]
    assert all(recursion.table[name][0] == 0 for name in SCALARS)


def test_what_is_dropped_does_not_depend_on_the_size_of_the_weights():
    model = DenseTransformer(depth=2).double()
    dropped = Recursion.from_model(model).dropped
    with torch.no_grad():
        model.m *= 1e-3
        model.v *= 1e-3
    assert Recursion.from_model(model).dropped == pytest.approx(dropped, rel=1e-9)


def test_what_is_dropped_counts_slopes_as_weights():
    model = EquivariantTransformer(depth=2, slopes=True).double()
    with torch.no_grad():
        for part in (model.m_slope, model.v_slope):
            part.copy_(torch.randn(part.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    parts = [module._read_scalars(weights, 5, 1)[1:] for weights in (model.weights(), model.slope_weights())]
    rest, norm = np.sum(parts, axis=0)
    assert parts[1][0].min() > 0.1 and Recursion.from_model(model).dropped == pytest.approx(np.sqrt(rest / norm))


def test_random_weights_are_mostly_dropped():
    dense = DenseTransformer(depth=2).double()
    with torch.no_grad():
        for part in (dense.m, dense.v):
            part.copy_(torch.randn(part.shape, generator=torch.Generator().manual_seed(0)))
    assert (Recursion.from_model(dense).dropped > 0.9).all()
    assert "it dropped 9" in repr(Recursion.from_model(dense))


# By itself


@given(st.integers(0, 10**6))
def test_symmetries(seed):
    """All rotations and reflections of the features, the order of the context, and the names of the classes."""
    recursion = random_recursion(seed=seed)
    batch = LinearTask(n_points=7, n_features=4).sample(3, seed=seed, n_queries=2, dtype=torch.float64)
    x, y, logits = batch.x.numpy(), batch.context_y.numpy(), recursion(batch.x, batch.context_y)
    random = np.random.default_rng(seed)
    tolerance = 1e-11 * max(1, np.abs(logits).max())
    rotation, _ = np.linalg.qr(random.normal(size=(4, 4)))
    assert np.abs(recursion(x @ rotation, y) - logits).max() <= tolerance
    order = random.permutation(7)
    shuffled = np.concatenate([x[:, order], x[:, 7:]], 1)
    assert np.abs(recursion(shuffled, y[:, order]) - logits).max() <= tolerance
    names = torch.from_numpy(random.permutation(3))
    renamed = permute_batch(batch, torch.arange(4), names)
    assert np.abs(recursion(renamed.x, renamed.context_y) - logits[..., names]).max() <= tolerance


def test_a_shear_is_no_symmetry():
    recursion = random_recursion()
    batch = LinearTask(n_points=7, n_features=2).sample(3, dtype=torch.float64)
    sheared = batch.x.numpy() @ np.array([[1.0, 0.5], [0.0, 1.0]])
    assert np.abs(recursion(sheared, batch.context_y) - recursion(batch.x, batch.context_y)).max() > 1e-3


def test_queries_do_not_see_each_other():
    recursion = random_recursion()
    batch = LinearTask(n_points=7).sample(3, n_queries=4, dtype=torch.float64)
    x, y = batch.x.numpy(), batch.context_y.numpy()
    for query, together in enumerate(recursion(x, y).swapaxes(0, 1)):
        alone = recursion(np.concatenate([x[:, :7], x[:, [7 + query]]], 1), y)
        assert np.abs(alone - together).max() <= EXACT


def test_couplings_switched_off_are_exact_zeros():
    recursion = random_recursion()
    batch = LinearTask(n_points=7).sample(3, dtype=torch.float64)
    prompt = batch.x, batch.context_y
    still = recursion.replace(gamma=0).trajectory(*prompt)
    assert (still.x == still.x[0]).all() and (still.u[-1] != still.u[0]).any()
    mute = recursion.replace(delta=0)
    assert (mute.trajectory(*prompt).u == mute.trajectory(*prompt).u[0]).all() and not mute(*prompt).any()
    even = recursion.replace(alpha=0, beta=0).trajectory(*prompt).attention
    assert (even == 1 / 7).all()
    blind = recursion.replace(beta=0)
    relabelled = prompt[0], (prompt[1] + 1) % 3
    assert (blind.trajectory(*prompt).x == blind.trajectory(*relabelled).x).all()
    assert (recursion.trajectory(*prompt).x != recursion.trajectory(*relabelled).x).any()


def test_trajectory_is_the_way_to_the_logits():
    recursion = random_recursion()
    batch = LinearTask(n_points=7).sample(3, n_queries=2, dtype=torch.float64)
    path = recursion.trajectory(batch.x, batch.context_y)
    assert path.x.shape == (4, 3, 9, 5) and path.u.shape == (4, 3, 9, 3) and path.attention.shape == (3, 3, 2, 9, 7)
    assert np.abs(recursion.scale * path.u[-1, :, 7:] - recursion(batch.x, batch.context_y)).max() <= EXACT
    assert np.abs(path.attention.sum(-1) - 1).max() <= EXACT
    assert np.abs(path.u.sum(-1)).max() <= EXACT  # labels stay centred
    x, u, attention = step(recursion.table[1], path.x[1], path.u[1], 7)
    assert (x == path.x[2]).all() and (u == path.u[2]).all() and (attention == path.attention[1]).all()


def test_large_scores_do_not_overflow():
    recursion = Recursion({"alpha": [[1e6]], "beta": 0, "gamma": 1, "delta": 1})
    batch = LinearTask(n_points=7).sample(3)
    assert np.isfinite(recursion(batch.x, batch.context_y)).all()


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize(("block", "least"), [(1, 1), (1, 5), (60, 7), (500, 64), (10**9, 1)])
def test_in_blocks_it_is_what_it_is_at_once(block, least, m, monkeypatch):
    """Rows and tasks apart, against the layers one after another on all points."""
    random = np.random.default_rng(0)
    mix = (m, m) if m > 1 else ()
    recursion = Recursion({name: random.normal(size=(3, 2, *mix)) for name in SCALARS}, scale=2.0)
    x, y = random.normal(size=(5, 13, 4)), random.integers(-1, 3, size=(5, 10)).clip(0)
    points, u, n = recursion.embed(x, y)
    for layer in recursion.table:
        points, u, _ = recursion.step(layer, points, u, n)
    plain = recursion.read_out(u[:, n:])
    monkeypatch.setattr(module, "BLOCK", block), monkeypatch.setattr(module, "LEAST_ROWS", least)
    assert np.abs(recursion(x, y) - plain).max() <= 1e-12 * np.abs(plain).max()


def test_memory_does_not_grow_with_the_square_of_the_context(monkeypatch):
    """Ten thousand numbers of attention at once, not nine hundred thousand."""
    monkeypatch.setattr(module, "BLOCK", 10_000), monkeypatch.setattr(module, "LEAST_ROWS", 1)
    recursion = Recursion({name: [[0.1], [0.1]] for name in SCALARS})
    x, y = np.random.default_rng(0).normal(size=(1, 951, 2)), np.arange(950)[None] % 3
    tracemalloc.start()
    recursion(x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 950**2 / 4


@pytest.mark.parametrize("tasks", [0, 5])
def test_as_much_attention_at_once_as_is_said(tasks, monkeypatch):
    """Whole tasks as long as they fit, and where not even one does, one row of one task."""
    sizes, each, points = [], 2 * 20, 23  # heads times context points

    def watched(layer, x, u, n, rows):
        x, u = quick_step(layer, x, u, n, rows)
        sizes.append(len(layer) * n * x.shape[0] * x.shape[1])
        return x, u

    monkeypatch.setattr(module, "quick_step", watched)
    monkeypatch.setattr(module, "BLOCK", max(1, tasks * each * points)), monkeypatch.setattr(module, "LEAST_ROWS", 1)
    random = np.random.default_rng(0)
    random_recursion()(random.normal(size=(10, points, 2)), random.integers(0, 3, (10, 20)))
    assert set(sizes) == {tasks * each * points or each}


@pytest.mark.parametrize(("size", "scalar"), [(1e154, 1.0), (1e200, 1.0), (1.0, 1e200), (1e308, 0.0)])
def test_what_is_too_large_is_an_error_and_no_nan(size, scalar):
    recursion = Recursion({name: np.full((3, 1), scalar) for name in SCALARS})
    x = size * np.random.default_rng(0).normal(size=(2, 6, 3)).clip(-1, 1)
    with pytest.raises(ValueError, match="the logits are not finite: features reach"):
        recursion(x, [[0, 1, 2, 0, 1]] * 2)
    with pytest.raises(ValueError, match="are not finite: features reach"):
        recursion.trajectory(x, [[0, 1, 2, 0, 1]] * 2)


def test_what_is_just_not_too_large_is_answered():
    recursion = Recursion({name: np.ones((3, 1)) for name in SCALARS})
    assert np.isfinite(recursion(1e150 * np.random.default_rng(0).normal(size=(2, 6, 3)), [[0, 1, 2, 0, 1]] * 2)).all()


def test_layers_can_be_taken_out_and_reordered():
    recursion = random_recursion(depth=4)
    batch = LinearTask(n_points=7).sample(3, dtype=torch.float64)
    path = recursion.trajectory(batch.x, batch.context_y)
    assert np.abs(recursion[:2](batch.x, batch.context_y) - recursion.scale * path.u[2][:, -1]).max() <= EXACT
    assert (recursion[[3, 0]].table.beta == recursion.table.beta[[3, 0]]).all()
    dropped = Recursion.from_model(DenseTransformer(depth=3))
    assert (dropped[1:].dropped == dropped.dropped[1:]).all()
    with pytest.raises(TypeError, match="slice or a list"):
        recursion[1]


def test_json_round_trip_is_exact():
    recursion = random_recursion(n_classes=4)
    again = Recursion.from_json(recursion.to_json())
    assert (again.table == recursion.table).all()
    assert (again.n_classes, again.scale) == (recursion.n_classes, recursion.scale)


def test_prints_its_table():
    lines = str(random_recursion(depth=3, heads=2)).splitlines()
    assert lines[0].split() == ["layer", "head", *SCALARS] and len(lines) == 7
    assert [float(value) for value in lines[-1].split()[2:]] == pytest.approx(
        random_recursion(depth=3, heads=2).table[-1, -1].tolist(), abs=6e-4
    )


def test_says_what_it_is_in_one_line():
    table = {"alpha": [[1.0], [2.0]], "beta": 0, "gamma": 0, "delta": 1}
    plain, memory = Recursion(table), {name: np.zeros((2, 1, 2, 2)) for name in SCALARS}
    for recursion, said in (
        (random_recursion(depth=3, heads=2), "3 layers, 2 heads, K=3, scale 2"),
        (Recursion(memory), "2 layers, 1 head, 2 copies, K=3, scale 1 0"),
        (Recursion(table, slopes=table), "2 layers, 1 head, slopes, K=3, scale 1"),
        (replace(plain, dropped=np.zeros(2)), "2 layers, 1 head, K=3, scale 1; nothing was dropped"),
        (
            replace(plain, dropped=np.array([0.3, 0.4])),
            "2 layers, 1 head, K=3, scale 1; it dropped 35 % of the weights",
        ),
    ):
        assert repr(recursion) == f"Recursion({said})"


def test_prints_matrices_and_slopes():
    memory = Recursion({"alpha": [[[[1, 2], [3, 4]]]] * 2, "beta": 0, "gamma": -1, "delta": 0})
    first = "".join(f"{value:8.3f}" for value in (1, 2, 0, 0, -1, -1, 0, 0))
    second = "".join(f"{value:8.3f}" for value in (3, 4, 0, 0, -1, -1, 0, 0))
    layers = [f"{number:5d}    1{first}\n{'':10}{second}" for number in (1, 2)]
    head = "layer head" + "".join(f"{name:>16}" for name in SCALARS)
    assert str(memory) == f"{head}\n{layers[0]}\n\n{layers[1]}"
    table, slopes = ({"alpha": [[value]], "beta": 0, "gamma": 0, "delta": 0} for value in (1.0, 2.0))
    text = f"{Recursion(table)}\n\nand times log(n / 64) / 2\n{Recursion(slopes)}"
    assert str(Recursion(table, slopes=slopes)) == text


def test_table_is_a_copy_and_cannot_be_written():
    alpha = np.ones((2, 1))
    recursion = Recursion({"alpha": alpha, "beta": 0, "gamma": 0, "delta": 0})
    alpha[:] = 7
    assert (recursion.table.alpha == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        recursion.table.alpha[0] = 3
    assert (Recursion(recursion.table).table == recursion.table).all()


def test_reads_what_numpy_reads():
    recursion = random_recursion()
    batch = LinearTask(n_points=4).sample(2)
    logits = recursion(batch.x, batch.context_y)
    assert (recursion(batch.x.tolist(), batch.context_y.tolist()) == logits).all()
    assert (recursion(batch.x.numpy(), batch.context_y.numpy().astype(np.int8)) == logits).all()


def test_stands_alone():
    """NumPy and the standard library, and nothing of ours."""
    with open(module.__file__, encoding="utf-8") as file:
        tree = ast.walk(ast.parse(file.read()))
    imported = {
        name.split(".")[0]
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported - sys.stdlib_module_names == {"numpy"}


def test_numbers_of_other_kinds_become_those_of_python():
    recursion = Recursion({name: [[1]] for name in SCALARS}, n_classes=np.int64(3), scale=np.array(2))
    assert type(recursion.n_classes) is int and type(recursion.scale) is float and recursion.table.alpha.dtype == float


# What is refused


X, Y = np.zeros((2, 4, 3)), np.array([[0, 1, 2], [0, -1, 1]])


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (X[0], Y, "must be \\(B, n \\+ q, d\\)"),
        (X, Y[0], "must be \\(B, n \\+ q, d\\)"),
        (X, Y.astype(float), "whole numbers"),
        (X, Y[:1], "equally many"),
        (X[..., :0], Y, "a feature at least"),
        (X, Y[:, :0], "a context point"),
        (X[:, :3], Y, "leave no query"),
        (np.where(X == 0, np.nan, X), Y, "NaN or infinity"),
        (X + np.inf, Y, "NaN or infinity"),
        (X, Y + 1, "must lie in 0..2"),
        (X, Y - 1, "-2 to 1"),
        (X, np.minimum(Y, -1), "no labelled point"),
        (X, np.array([[-1, -1, -1], [0, 1, 2]]), "no labelled point"),
    ],
)
def test_refuses_a_bad_prompt(x, y, match):
    with pytest.raises(ValueError, match=match):
        random_recursion()(x, y)
    with pytest.raises(ValueError, match=match):
        random_recursion().trajectory(x, y)


ZEROS = {"alpha": [[0.0]], "beta": 0, "gamma": 0, "delta": 0}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"table": {"alpha": [[0.0]]}}, "it must have"),
        ({"table": ZEROS | {"epsilon": 0}}, "it must have"),
        ({"table": np.zeros((2, 1))}, "it must have"),
        ({"table": ZEROS | {"alpha": 0}}, "each must be \\(L, H\\)"),
        ({"table": ZEROS | {"alpha": [0.0, 1.0]}}, "each must be \\(L, H\\)"),
        ({"table": ZEROS | {"alpha": np.zeros((0, 1))}}, "each must be \\(L, H\\)"),
        ({"table": ZEROS | {"alpha": np.zeros((2, 3)), "beta": np.zeros((3, 2))}}, "shape"),
        ({"table": ZEROS | {"beta": np.nan}}, "NaN or infinity"),
        ({"table": ZEROS, "n_classes": 1}, "at least 2"),
        ({"table": ZEROS, "n_classes": 2.5}, "whole number"),
        ({"table": ZEROS, "scale": np.inf}, "must be finite"),
    ],
)
def test_refuses_a_bad_table(arguments, match):
    with pytest.raises(ValueError, match=match):
        Recursion(**arguments)


def test_refuses_an_unknown_scalar():
    with pytest.raises(ValueError, match="epsilon"):
        random_recursion().replace(epsilon=1)


def test_replaced_scalars_are_broadcast_and_say_nothing_of_what_was_dropped():
    model = DenseTransformer(depth=3, heads=2)
    recursion = Recursion.from_model(model)
    assert recursion.dropped is not None and recursion.replace(gamma=0).dropped is None
    nothing = recursion.replace(alpha=0, beta=0, gamma=0, delta=0)
    assert nothing.table.shape == (3, 2) and not nothing.table.alpha.any()
    with pytest.raises(ValueError, match="there is no epsilon"):
        recursion.replace(epsilon=1)
    with pytest.raises(ValueError, match="broadcast"):
        recursion.replace(alpha=np.zeros((5, 2)))


def test_counts_may_be_numpys():
    assert Recursion({"alpha": [[1]], "beta": 0, "gamma": 0, "delta": 0}, n_classes=np.int64(4)).n_classes == 4


def test_a_copy_is_read_only_too():
    for again in (pickle.loads(pickle.dumps(random_recursion())), copy.deepcopy(random_recursion())):
        with pytest.raises(ValueError, match="read-only"):
            again.table.alpha[0, 0] = 1


# Scalars that depend on the length of the context


@pytest.mark.parametrize("copies", [1, 2])
def test_slopes_are_read_off_a_model_and_kept_by_files(copies, tmp_path):
    model = EquivariantTransformer(depth=3, heads=2, scalars=4, copies=copies, slopes=True).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in (model.m_slope, model.v_slope):
            part.copy_(0.1 * torch.randn(part.shape, generator=generator, dtype=torch.float64))
    save(model, tmp_path / "sloped.safetensors")
    again = load(tmp_path / "sloped.safetensors")
    assert again.config == model.config and again.slopes
    recursion = Recursion.from_model(again)
    assert recursion.dropped.max() < 1e-15
    for n in (5, 64, 300):
        batch = LinearTask(n_points=n).sample(2, n_queries=3, dtype=torch.float64)
        ours = recursion(batch.x, batch.context_y)
        with torch.no_grad():
            theirs = model(batch.x, batch.context_y)
            stream, _ = model.trajectory(batch.x, batch.context_y)
        assert np.abs(ours - theirs.numpy()).max() < 1e-12
        assert torch.allclose(model.read_out(stream[-1])[:, n:], theirs, atol=1e-12)  # fused, and plain
        assert np.array_equal(Recursion.from_json(recursion.to_json())(batch.x, batch.context_y), ours)
        plain = replace(recursion, slopes=None)(batch.x, batch.context_y)
        assert (np.abs(plain - ours).max() < 1e-12) == (n == 64)


def test_slopes_follow_layers_and_replacements():
    table = {"alpha": [[1.0], [2.0]], "beta": 0, "gamma": 0, "delta": 1}
    recursion = Recursion(table, slopes={"alpha": [[3.0], [4.0]], "beta": 1, "gamma": 0, "delta": 0})
    assert recursion[1:].at_length(64 * np.e**2).table.alpha.round(9).tolist() == [[6.0]]
    assert recursion.replace(beta=0).at_length(1000).table.beta.tolist() == [[0.0], [0.0]]
    for name in ("beta", "gamma"):  # what is replaced is the same at every length, and the others stay as they are
        slopes = recursion.replace(**{name: 0}).slopes
        assert slopes.alpha.tolist() == [[3.0], [4.0]] and not slopes[name].any()
    assert "slopes" in repr(recursion) and "log(n / 64)" in str(recursion)
    assert recursion.at_length(64).table.alpha.tolist() == [[1.0], [2.0]]
    assert recursion.at_length(300).slopes is None
    with pytest.raises(ValueError, match="slopes have shape"):
        replace(recursion, slopes={"alpha": [[3.0]], "beta": 1, "gamma": 0, "delta": 0})
    with pytest.raises(ValueError, match="n=0"):
        recursion.at_length(0)
    with pytest.raises(ValueError, match="slopes=1"):
        EquivariantTransformer(slopes=1)
