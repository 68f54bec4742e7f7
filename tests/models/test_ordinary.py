"""The ordinary transformer against loops, what it may see, and the group on its stream against brute force."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_nb.checks import TOLERANCE
from icl_nb.interpret.abstraction import abstract
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import load, save
from icl_nb.models.ordinary import OrdinaryTransformer, permute
from icl_nb.models.training import train
from icl_nb.recursion import Recursion
from icl_nb.symmetry import equivariance_error, permute_batch, renaming_error
from icl_nb.tasks.linear import LinearTask

seeds = st.integers(0, 2**31 - 1)
EXACT = TOLERANCE[torch.float64]


def build(seed=0, **shape):
    """A small model, every weight of it drawn at random, biases and norms too."""
    model = OrdinaryTransformer(
        **{"n_features": 3, "n_classes": 2, "depth": 2, "heads": 2, "blocks": 2} | shape
    ).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in model.parameters():
            part.add_(0.4 * torch.randn(part.shape, dtype=torch.float64, generator=generator))
    return model


def draw(n_tasks=4, n_queries=2, seed=0, d=3, k=2, n=6):
    return LinearTask(n, d, k).sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


def matrix_of(order, copies):
    """The permutation matrix of an order on all blocks: it lists the entries of a token as `permute` does."""
    size = len(order)
    whole = torch.zeros(copies * size, copies * size, dtype=torch.float64)
    for block in range(copies):
        for row, column in enumerate(order.tolist()):
            whole[block * size + row, block * size + column] = 1
    return whole


def norm_by_hand(row, norm):
    mean = sum(row) / len(row)
    spread = math.sqrt(sum((value - mean) ** 2 for value in row) / len(row) + norm.eps)
    return [
        (value - mean) / spread * g + b
        for value, g, b in zip(row, norm.weight.tolist(), norm.bias.tolist(), strict=True)
    ]


def apply(linear, row):
    bias = [0.0] * linear.weight.shape[0] if linear.bias is None else linear.bias.tolist()
    return [
        sum(w * r for w, r in zip(line, row, strict=True)) + b
        for line, b in zip(linear.weight.tolist(), bias, strict=True)
    ]


def test_against_loops():
    """One task, number by number, as the formula reads."""
    model, batch = build(depth=1, head_size=2), draw(1)
    n, layer, size = batch.context_y.shape[1], model.layers[0], model.head_size
    u = [[float(y == k) - 0.5 for k in range(2)] for y in batch.context_y[0].tolist()] + 2 * [[0.0, 0.0]]
    stream = [apply(model.enter, [*x, *label]) for x, label in zip(batch.x[0].tolist(), u, strict=True)]
    normal = [norm_by_hand(row, layer.norm_1) for row in stream]
    parts = [layer.attention_query, layer.attention_key, layer.attention_value]
    q, k, v = ([apply(linear, row) for row in normal] for linear in parts)
    moved = []
    for i, row in enumerate(stream):
        heads = []
        for h in range(model.heads):
            own = slice(h * size, (h + 1) * size)
            scores = [sum(a * b for a, b in zip(q[i][own], k[j][own], strict=True)) / math.sqrt(size) for j in range(n)]
            total = sum(map(math.exp, scores))
            heads += [sum(math.exp(s) / total * v[j][own][a] for j, s in enumerate(scores)) for a in range(size)]
        moved.append([a + b for a, b in zip(row, apply(layer.attention_out, heads), strict=True)])
    for i, row in enumerate(moved):
        hidden = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in apply(layer.up, norm_by_hand(row, layer.norm_2))]
        moved[i] = [a + b for a, b in zip(row, apply(layer.down, hidden), strict=True)]
    logits = [apply(model.leave, norm_by_hand(row, model.norm)) for row in moved[n:]]
    assert torch.allclose(model(batch.x, batch.context_y)[0], torch.tensor(logits, dtype=torch.float64), atol=1e-11)
    tokens, attention = model.trajectory(batch.x, batch.context_y)
    assert torch.allclose(tokens[-1, 0], torch.tensor(moved, dtype=torch.float64), atol=1e-11)
    assert attention.shape == (1, 1, 2, 8, 6) and torch.allclose(attention.sum(-1), torch.ones((), dtype=torch.float64))


def test_nobody_reads_a_query_and_the_order_of_the_context_is_free():
    model, batch = build(), draw(n_queries=3)
    n, logits = batch.context_y.shape[1], model(batch.x, batch.context_y)
    other = batch.x.clone()
    other[:, -1] += 1
    changed = (model(other, batch.context_y) - logits).abs().amax((0, 2))
    assert changed[:2].max() <= EXACT and changed[2] > 1e-3
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    shuffled = torch.cat([batch.x[:, order], batch.x[:, n:]], 1)
    assert torch.allclose(model(shuffled, batch.context_y[:, order]), logits, atol=1e-11)


def test_one_query_and_several_agree():
    model, batch = build(), draw(n_queries=2)
    alone = model(batch.x[:, :-1], batch.context_y)
    assert alone.shape == (4, 2) and torch.allclose(alone, model(batch.x, batch.context_y)[:, 0], atol=1e-12)


# The group on the stream


@given(seed=seeds)
def test_symmetric_part_is_the_group_average(seed):
    """Of a map between blocks, onto labels, and of a vector."""
    model, size = build(), 5
    generator = torch.Generator().manual_seed(seed)
    square, vector, leave = (
        torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((10, 15), (10, 1), (2, 10))
    )
    sums = [torch.zeros_like(part) for part in (square, vector, leave)]
    elements = list(itertools.product(itertools.permutations(range(3)), itertools.permutations(range(2))))
    for features, classes in elements:
        order = torch.tensor([*features, *(3 + c for c in classes)])
        two, three, labels = matrix_of(order, 2), matrix_of(order, 3), matrix_of(order, 1)[3:, 3:]
        sums[0] += two.T @ square @ three
        sums[1] += two.T @ vector
        sums[2] += labels.T @ leave @ two
    assert size == 5
    for part, total in zip((square, vector, leave), sums, strict=True):
        assert torch.allclose(model.symmetric_part(part), total / len(elements), atol=1e-12)


@given(seed=seeds)
@settings(max_examples=25)
def test_projected_is_exactly_equivariant(seed):
    model, batch = build(seed), draw(seed=seed)
    projected = model.projected()
    logits = projected(batch.x, batch.context_y)
    assert equivariance_error(projected, batch) <= EXACT < equivariance_error(model, batch)
    assert renaming_error(projected, batch) <= EXACT < renaming_error(model, batch)
    orders = projected.injection(len(batch), torch.Generator().manual_seed(seed))["orders"]
    assert torch.allclose(projected(batch.x, batch.context_y, orders=orders), logits, atol=1e-10)
    assert torch.allclose(projected.projected()(batch.x, batch.context_y), logits, atol=1e-10)
    for kind in ("scores", "values", "up", "down"):
        assert projected.off_symmetric(kind).max() <= EXACT < model.off_symmetric(kind).min()


def test_projection_keeps_named_coordinates_alone():
    model = build()
    kept = model.projected(keep=("I_d", "I_K"))
    for part in kept.weights():
        blocks = part.unflatten(-1, (2, 5)).unflatten(-3, (2, 5))  # (L, H, a, i, b, j)
        features, labels = blocks[..., :3, :, :3], blocks[..., 3:, :, 3:]
        assert blocks[..., :3, :, 3:].abs().max() <= EXACT and blocks[..., 3:, :, :3].abs().max() <= EXACT
        for block, size in ((features, 3), (labels, 2)):
            assert block.movedim(-3, -2)[..., ~torch.eye(size, dtype=torch.bool)].abs().max() <= EXACT
        assert features.abs().max() > 1e-3 and labels.abs().max() > 1e-3
    with pytest.raises(ValueError, match="keep has"):
        model.projected(keep=("K",))


def test_injection_is_conjugated_weights():
    """A task whose orders are all one element: the network that acts on permuted tokens, matrix by matrix."""
    model, batch = build(), draw(1)
    order = torch.tensor([2, 0, 1, 4, 3])
    other = build()
    p = {size: matrix_of(order, size // 5) for size in (5, 10, 40)}
    with torch.no_grad():
        for name, part in other.named_parameters():
            if name.startswith("leave"):
                swap = matrix_of(order[3:] - 3, 1)
                part.copy_(swap.T @ part @ p[10] if part.ndim == 2 else swap.T @ part)
            elif "attention_out" in name:
                part.copy_(p[10].T @ part)
            elif "attention" in name:
                part.copy_(part @ p[10])
            elif part.ndim == 2:
                part.copy_(p[len(part)].T @ part @ p[part.shape[1]])
            else:
                part.copy_(p[len(part)].T @ part)
    orders = order.expand(1, 3 * model.depth + 2, 5)
    assert torch.allclose(model(batch.x, batch.context_y, orders=orders), other(batch.x, batch.context_y), atol=1e-12)
    same = torch.arange(5).expand(1, 3 * model.depth + 2, 5)
    assert torch.allclose(model(batch.x, batch.context_y, orders=same), model(batch.x, batch.context_y), atol=1e-12)


@given(seed=seeds)
def test_permute_and_back(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, 4, 10, generator=generator)
    orders = build().injection(3, generator)["orders"][:, 0]
    assert torch.equal(permute(permute(z, orders), orders, back=True), z)
    for task in range(3):
        expected = z[task] @ matrix_of(orders[task], 2).float().T
        assert torch.allclose(permute(z, orders)[task], expected)


def test_orders_are_group_elements_and_differ():
    orders = OrdinaryTransformer().injection(50, torch.Generator().manual_seed(0))["orders"]
    assert orders.shape == (50, 20, 8)
    assert torch.equal(orders[..., :5].sort(-1).values, torch.arange(5).expand(50, 20, 5))
    assert torch.equal(orders[..., 5:].sort(-1).values, torch.arange(5, 8).expand(50, 20, 3))
    assert len(orders.reshape(-1, 8).unique(dim=0)) > 300  # of 720, in 1,000 draws


def test_renaming_error():
    batch = draw(8, d=5, k=3)
    assert renaming_error(EquivariantTransformer().double(), batch) <= EXACT
    assert renaming_error(DenseTransformer(depth=2).double(), batch) > 1e-4

    def stubborn(x, y):  # always the first class, whatever the classes are called
        return torch.tensor([50.0, 0, 0], dtype=torch.float64).expand(len(x), x.shape[1] - y.shape[1], 3)

    moved = permute_batch(batch, torch.arange(5), torch.tensor([1, 2, 0]))
    assert moved.n_classes == 3 and renaming_error(stubborn, batch, n_elements=50) == pytest.approx(2 / 3, abs=0.2)


# Training, files, bad input


def test_training_with_and_without_injection():
    task = LinearTask(8, 3, 2)
    plain, injected = (build() for _ in range(2))
    start = plain.off_symmetric("values").mean()
    train(plain, task, steps=40, batch_size=16, learning_rate=3e-3, progress=False)
    history = train(injected, task, steps=40, batch_size=16, learning_rate=3e-3, symmetry="injection", progress=False)
    assert math.isfinite(history.loss[-1]) and injected.off_symmetric("values").mean() < start
    assert not torch.equal(plain.enter.weight, injected.enter.weight)


def test_symmetric_numbers_are_the_rank_of_the_projection():
    model = OrdinaryTransformer(3, 2, depth=1, heads=1, blocks=1, mlp=1).double()
    rank = 0
    for part in model.parameters():
        shape = part[:, None].shape if part.ndim == 1 else part.shape
        units = torch.eye(part.numel(), dtype=torch.float64).reshape(-1, *shape)
        rank += int(torch.linalg.matrix_rank(model.symmetric_part(units).flatten(1)))
    assert model.symmetric_numbers == rank


def test_symmetric_in_training_and_after():
    """Where a head is whole blocks, the weights themselves can be symmetric: the model is, and stays so in training."""
    model, batch = build(head_size=10), draw()
    before = model(batch.x, batch.context_y)
    model.symmetrise_()
    once = model(batch.x, batch.context_y)
    assert equivariance_error(model, batch) <= EXACT and (once - before).abs().max() > 1e-3
    model.symmetrise_()
    assert torch.allclose(model(batch.x, batch.context_y), once, atol=1e-11)
    assert torch.allclose(model.projected()(batch.x, batch.context_y), once, atol=1e-10)
    train(model, LinearTask(8, 3, 2), steps=5, batch_size=8, symmetry="projection", progress=False)
    assert equivariance_error(model, batch) <= EXACT
    assert (model(batch.x, batch.context_y) - once).abs().max() > 1e-3
    with pytest.raises(ValueError, match="head_size=3 is no multiple"):
        build(head_size=3).symmetrise_()


def test_saved_and_loaded(tmp_path):
    model, batch = build(), draw()
    save(model, tmp_path / "one.safetensors")
    again = load(tmp_path / "one.safetensors")
    assert again.config == model.config and torch.equal(
        again(batch.x, batch.context_y), model(batch.x, batch.context_y)
    )


def test_same_seed_same_weights():
    first, second, third = (OrdinaryTransformer(depth=1, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.enter.weight, third.enter.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 0}, "blocks"),
        ({"mlp": 0}, "mlp"),
        ({"head_size": 0}, "head_size"),
        ({"heads": 5}, "no multiple of heads=5"),
        ({"depth": 0}, "depth"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_shapes(change, message):
    with pytest.raises(ValueError, match=message):
        OrdinaryTransformer(**change)


def test_nothing_is_read_off_its_weights():
    """What abstracts attention-only models refuses this one, instead of dropping its norms and MLPs."""
    with pytest.raises(ValueError, match="OrdinaryTransformer has no recursion"):
        Recursion.from_model(build())
    with pytest.raises(ValueError, match="OrdinaryTransformer"):
        abstract(build(), draw())


def test_bad_input():
    model, batch = build(), draw()
    with pytest.raises(ValueError, match="kind='queries'"):
        model.off_symmetric("queries")
    with pytest.raises(ValueError, match="4 features"):
        model(torch.cat([batch.x, batch.x[..., :1]], -1), batch.context_y)
    with pytest.raises(ValueError, match="cast one of them"):
        model(batch.x.float(), batch.context_y)
    with torch.no_grad():
        model.leave.weight.fill_(1e308)
    with pytest.raises(ValueError, match="not finite"):
        model(batch.x, batch.context_y)
    with pytest.raises(ValueError, match="n_elements"):
        renaming_error(build(), batch, n_elements=0)
