"""The layer against three plain loops, what queries may see, and which scalars a head can be read from."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call, jacrev

from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import evaluate
from icl_nb.models import attention as attention_module
from icl_nb.models.attention import (
    AttentionTransformer,
    DenseTransformer,
    EquivariantTransformer,
    InContextTransformer,
    attention_layer,
)
from icl_nb.models.training import train
from icl_nb.symmetry import COORDINATES, assemble, equivariance_error, permute_batch, project
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

seeds = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draw(n_tasks=4, n_queries=1, seed=0, **task):
    return LinearTask(**task).sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


def spread(model, seed=0):
    """The model with weights large enough that every coordinate matters."""
    model = model.double()
    with torch.no_grad():
        for part in (model.m, model.v):
            part.copy_(0.5 * normal(*part.shape, seed=seed))
            seed += 1
        model.scale.fill_(2.0)
    return model


def both(d=5, k=3, depth=3, heads=2, seed=0):
    return [spread(cls(d, k, depth, heads), seed) for cls in (DenseTransformer, EquivariantTransformer)]


# The layer


def slow_layer(z, n, m, v):
    """For one task, as the formula reads."""
    points, size = z.shape
    moved, attention = z.clone(), torch.zeros(len(m), points, n, dtype=z.dtype)
    for h in range(len(m)):
        for i in range(points):
            scores = [sum(z[i, a] * m[h, a, b] * z[j, b] for a in range(size) for b in range(size)) for j in range(n)]
            total = sum(math.exp(score) for score in scores)
            average = sum(math.exp(score) / total * z[j] for j, score in enumerate(scores))
            attention[h, i] = torch.tensor([math.exp(score) / total for score in scores])
            for a in range(size):
                moved[i, a] += sum(v[h, a, b] * average[b] for b in range(size))
    return moved, attention


@pytest.mark.parametrize(("n", "q", "size", "heads"), [(3, 1, 4, 1), (1, 1, 3, 2), (4, 2, 3, 3), (2, 3, 5, 2)])
def test_layer_against_loops(n, q, size, heads):
    z, m, v = normal(2, n + q, size), normal(heads, size, size, seed=1), normal(heads, size, size, seed=2)
    moved, attention = attention_layer(z, n, m, v)
    for task in range(2):
        slow, weights = slow_layer(z[task], n, m, v)
        assert torch.allclose(moved[task], slow, atol=1e-12)
        assert torch.allclose(attention[task], weights, atol=1e-13)


def test_attention_is_a_distribution_over_the_context():
    _, attention = attention_layer(normal(3, 7, 4), 5, 3 * normal(2, 4, 4), normal(2, 4, 4))
    assert attention.shape == (3, 2, 7, 5) and (attention >= 0).all()
    assert torch.allclose(attention.sum(-1), torch.ones(3, 2, 7, dtype=torch.float64))


@given(seed=seeds)
def test_heads_add_up(seed):
    z, m, v = normal(2, 6, 4, seed=seed), normal(3, 4, 4, seed=seed + 1), normal(3, 4, 4, seed=seed + 2)
    together, _ = attention_layer(z, 4, m, v)
    moves = [attention_layer(z, 4, m[h : h + 1], v[h : h + 1])[0] - z for h in range(3)]
    assert torch.allclose(together, z + sum(moves), atol=1e-12)


def test_one_context_point_gets_all_attention():
    z, v = normal(2, 3, 4), normal(1, 4, 4)
    moved, attention = attention_layer(z, 1, normal(1, 4, 4), v)
    assert torch.equal(attention, torch.ones(2, 1, 3, 1, dtype=torch.float64))
    assert torch.allclose(moved, z + (z[:, :1] @ v[0].T), atol=1e-13)


def test_huge_scores_give_a_hard_choice_and_no_overflow():
    z = normal(2, 6, 4)
    moved, attention = attention_layer(z, 5, 1e6 * normal(1, 4, 4), normal(1, 4, 4))
    assert moved.isfinite().all() and ((attention == 0) | (attention == 1)).double().mean() > 0.99


# Embedding and read-out


@given(k=st.integers(2, 5), seed=seeds)
def test_embedding(k, seed):
    batch = draw(3, 2, seed, n_points=6, n_features=2, n_classes=k, unlabelled=0.4)
    z = EquivariantTransformer(2, k, 1).double().embed(batch.x, batch.context_y)
    assert torch.equal(z[..., :2], batch.x)
    for task in range(3):
        for point, label in enumerate(batch.context_y[task].tolist()):
            expected = torch.zeros(k, dtype=torch.float64)
            if label >= 0:
                expected -= 1 / k
                expected[label] += 1
            assert torch.equal(z[task, point, 2:], expected)
    assert not z[:, 6:, 2:].any()


def test_forward_is_the_layers_one_by_one():
    batch = draw(3, 2)
    for model in both():
        z = model.embed(batch.x, batch.context_y)
        for level in range(model.depth):
            z, _ = model.layer(level, z, 40)
        assert torch.equal(model(batch.x, batch.context_y), model.scale * z[:, 40:, 5:])


def test_trajectory_is_the_forward_pass_laid_open():
    batch = draw(3, 2, n_points=7)
    for model in both():
        tokens, attention = model.trajectory(batch.x, batch.context_y)
        assert tokens.shape == (4, 3, 9, 8) and attention.shape == (3, 3, 2, 9, 7)
        assert torch.equal(tokens[0], model.embed(batch.x, batch.context_y))
        assert torch.equal(model.scale * tokens[-1][:, 7:, 5:], model(batch.x, batch.context_y))
        for level in range(3):
            after, weights = model.layer(level, tokens[level], 7)
            assert torch.equal(after, tokens[level + 1]) and torch.equal(weights, attention[level])


def test_one_query_gives_one_row():
    batch = draw(4)
    assert EquivariantTransformer().double()(batch.x, batch.context_y).shape == (4, 3)


def test_other_weights_may_be_given():
    batch = draw(4)
    one, other = (spread(DenseTransformer(depth=2), seed) for seed in (0, 9))
    assert torch.equal(one(batch.x, batch.context_y, weights=other.weights())[0] / one.scale * other.scale,
                       other(batch.x, batch.context_y)[0])  # fmt: skip
    shallow = one(batch.x, batch.context_y, weights=tuple(part[:1] for part in one.weights()))
    assert not torch.allclose(shallow, one(batch.x, batch.context_y))


# What sees what


@given(q=st.integers(2, 5), seed=seeds)
def test_many_queries_are_single_queries(q, seed):
    batch = draw(2, q, seed, n_points=6)
    for model in both(seed=seed):
        together = model(batch.x, batch.context_y)
        for i in range(q):
            x = torch.cat([batch.context_x, batch.query_x[:, i : i + 1]], 1)
            assert torch.allclose(model(x, batch.context_y), together[:, i], rtol=1e-10, atol=1e-10)


def test_queries_do_not_see_each_other():
    """The Jacobian of one query's logits by the place of another is exactly zero."""
    batch = draw(1, 3, n_points=6)
    for model in both():
        jacobian = torch.autograd.functional.jacobian(lambda x, model=model: model(x, batch.context_y)[0], batch.x)
        for i in range(3):
            for j in range(3):
                seen = jacobian[i, :, 0, 6 + j].abs().max()
                assert seen > 1e-6 if i == j else seen == 0
        assert (jacobian[:, :, 0, :6].abs().amax((0, 1, 3)) > 1e-6).all()  # every context point counts


def test_no_layer_lets_the_context_see_a_query():
    batch, other = draw(2, 2, n_points=6), draw(2, 2, seed=1, n_points=6)
    x = torch.cat([batch.context_x, other.query_x], 1)
    for model in both():
        ours, theirs = (model.trajectory(points, batch.context_y)[0] for points in (batch.x, x))
        assert torch.equal(ours[:, :, :6], theirs[:, :, :6])


@given(seed=seeds)
def test_the_order_of_the_context_does_not_matter(seed):
    batch = draw(2, 1, seed, n_points=6)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    x = torch.cat([batch.context_x[:, order], batch.query_x], 1)
    for model in both(seed=seed):
        logits, after = model(batch.x, batch.context_y), model(x, batch.context_y[:, order])
        assert torch.allclose(after, logits, rtol=1e-9, atol=1e-9)


def test_an_unlabelled_point_shows_its_features_and_no_label():
    """Its token is a query's, so that the model that ignores features in its values only loses its share of labels."""
    batch = draw(3, n_points=4)
    y = batch.context_y.clone()
    y[:, -1] = -1
    model = spread(EquivariantTransformer(depth=1))
    assert torch.equal(model.embed(batch.x, y)[:, 3, 5:], torch.zeros(3, 3, dtype=torch.float64))
    with torch.no_grad():  # even attention, u <- u + mean of u
        model.m.zero_(), model.v.zero_()
        model.v[..., COORDINATES.index("I_K")] = 1
    mean = model.embed(batch.x, batch.context_y)[:, :3, 5:].sum(1) / 4
    assert torch.allclose(model(batch.x, y), model.scale * mean)


def test_the_tasks_of_a_batch_do_not_mix():
    batch = draw(5, 2)
    for model in both():
        together = model(batch.x, batch.context_y)
        assert torch.allclose(model(batch.x[2:3], batch.context_y[2:3])[0], together[2], rtol=1e-10)


# Dense and equivariant


@given(d=st.integers(1, 4), k=st.integers(2, 4), seed=seeds)
def test_permuted_tasks_get_permuted_logits(d, k, seed):
    batch = draw(3, 2, seed, n_points=5, n_features=d, n_classes=k)
    generator = torch.Generator().manual_seed(seed)
    features, classes = torch.randperm(d, generator=generator), torch.randperm(k, generator=generator)
    moved = permute_batch(batch, features, classes)
    model = spread(EquivariantTransformer(d, k, 2, 2), seed)
    logits, after = model(batch.x, batch.context_y), model(moved.x, moved.context_y)
    assert torch.allclose(after, logits[..., classes], rtol=1e-9, atol=1e-9 * logits.abs().max().item())


def test_a_dense_model_with_weights_of_the_commutant_is_the_equivariant_model():
    batch = draw(3)
    equivariant, dense = spread(EquivariantTransformer(depth=4)), DenseTransformer(depth=4).double()
    with torch.no_grad():
        for part, own in zip((dense.m, dense.v), equivariant.weights(), strict=True):
            part.copy_(own)
        dense.scale.copy_(equivariant.scale)
    assert torch.equal(dense(batch.x, batch.context_y), equivariant(batch.x, batch.context_y))


def test_four_scalars_are_twelve_with_eight_zeros():
    four, twelve = (
        EquivariantTransformer(depth=3, heads=2, scalars=4).double(),
        EquivariantTransformer(depth=3, heads=2),
    )
    four, twelve = spread(four), twelve.double()
    with torch.no_grad():
        for part, own in zip((twelve.m, twelve.v), four.coordinates(), strict=True):
            part.copy_(own)
        twelve.scale.copy_(four.scale)
    batch = draw(3)
    assert torch.equal(four(batch.x, batch.context_y), twelve(batch.x, batch.context_y))
    absent = [c for c, name in enumerate(COORDINATES) if name not in ("I_d", "I_K")]
    for part in four.coordinates():
        assert not part[..., absent].any()
    identity = torch.eye(5, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    alpha, beta = four.m[1, 0]
    assert torch.equal(four.weights()[0][1, 0], torch.block_diag(alpha * identity[0], beta * identity[1]))


def test_four_scalars_commute_with_every_rotation():
    rotation = torch.linalg.qr(normal(5, 5)).Q
    batch = draw(3, 2)
    four, twelve = (spread(EquivariantTransformer(depth=3, scalars=scalars)) for scalars in (4, 12))
    assert torch.allclose(four(batch.x @ rotation, batch.context_y), four(batch.x, batch.context_y), rtol=1e-9)
    assert not torch.allclose(twelve(batch.x @ rotation, batch.context_y), twelve(batch.x, batch.context_y), rtol=1e-2)


@pytest.mark.parametrize("scalars", [4, 12])
def test_resized_models_keep_their_scalars(scalars):
    model = spread(EquivariantTransformer(5, 3, 2, 2, scalars))
    other = model.resized(7, 4)
    assert (other.n_features, other.n_classes, other.dtype) == (7, 4, torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    batch = draw(3, n_features=7, n_classes=4)
    assert other(batch.x, batch.context_y).shape == (3, 4)
    back = other.resized(5, 3)
    batch = draw(3)
    assert torch.equal(back(batch.x, batch.context_y), model(batch.x, batch.context_y))
    with torch.no_grad():
        other.m.zero_()
    assert model.m.any()


def test_four_scalars_do_not_notice_a_feature_that_is_always_zero():
    model, batch = spread(EquivariantTransformer(scalars=4)), draw(3)
    wider = torch.cat([batch.x, torch.zeros_like(batch.x[..., :2])], -1)
    assert torch.allclose(model.resized(7, 3)(wider, batch.context_y), model(batch.x, batch.context_y), rtol=1e-10)


def test_projected_copies_and_leaves_the_original():
    model = DenseTransformer(depth=2).double()
    before = copy.deepcopy(model.state_dict())
    other = model.projected()
    assert torch.equal(other.m, project(model.m, 5, 3)) and torch.equal(other.v, project(model.v, 5, 3))
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


@pytest.mark.parametrize(("d", "k", "depth", "heads"), [(5, 3, 8, 1), (2, 4, 3, 2)])
def test_free_parameters(d, k, depth, heads):
    def count(model):
        return sum(part.numel() for part in model.parameters()) - 1  # the scale

    assert count(DenseTransformer(d, k, depth, heads)) == 2 * depth * heads * (d + k) ** 2
    assert count(EquivariantTransformer(d, k, depth, heads)) == 12 * depth * heads
    assert count(EquivariantTransformer(d, k, depth, heads, scalars=4)) == 4 * depth * heads


@pytest.mark.parametrize("cls", [DenseTransformer, EquivariantTransformer])
def test_the_seed_fixes_the_start(cls):
    once, again, other = (cls(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(once.m, again.m) and torch.equal(once.v, again.v)
    assert not torch.equal(once.m, other.m) and not torch.equal(once.v, other.v)
    assert not torch.equal(once.m, once.v)


def test_building_a_model_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    DenseTransformer(), EquivariantTransformer()
    assert torch.equal(state, torch.get_rng_state())


# What the function does not tell of the weights. With s = <1, u>, centred labels enter with s = 0.

SILENT_FIRST = {"m": {"J_K", "J_dK", "J_Kd"}, "v": {"J_K", "J_dK"}}
SILENT_LAST = {"m": set(), "v": {"I_d", "J_d", "J_K", "J_dK", "J_Kd"}}


def log_probabilities(model, batch):
    with torch.no_grad():
        return model(batch.x, batch.context_y).log_softmax(-1)


@pytest.mark.parametrize("task", [{}, {"unlabelled": 0.5}, {"shift": 1.0}], ids=str)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_which_single_coordinates_are_silent(level, task):
    """First layer: whatever reads s. Last layer: of V all but I_K. In between each of the 12 counts."""
    batch, model = draw(8, 2, n_points=10, **task), spread(EquivariantTransformer(depth=3))
    before = log_probabilities(model, batch)
    silent = {"m": set(), "v": set()}
    for part in silent:
        for c, name in enumerate(COORDINATES):
            other = copy.deepcopy(model)
            with torch.no_grad():
                getattr(other, part)[level, 0, c] += 1
            if (log_probabilities(other, batch) - before).abs().max() < 1e-10:
                silent[part].add(name)
    assert silent == {0: SILENT_FIRST, 1: {"m": set(), "v": set()}, 2: SILENT_LAST}[level]


def test_what_is_silent_in_all_layers_while_no_value_feeds_the_sum_of_labels():
    """Without J_Kd in V, s stays 0 all the way up: J_K, J_dK, J_Kd of M and J_K, J_dK of V act as 0 everywhere."""
    batch, model = draw(8, 2, n_points=10), spread(EquivariantTransformer(depth=3, heads=2))
    place = COORDINATES.index
    with torch.no_grad():
        model.v[..., place("J_Kd")] = 0
    tokens, _ = model.trajectory(batch.x, batch.context_y)
    assert tokens[..., 5:].sum(-1).abs().max() < 1e-12
    before = log_probabilities(model, batch)
    with torch.no_grad():
        model.m[..., [place(name) for name in ("J_K", "J_dK", "J_Kd")]] += normal(3, 2, 3)
        model.v[..., [place(name) for name in ("J_K", "J_dK")]] += normal(3, 2, 2)
    assert torch.allclose(log_probabilities(model, batch), before, atol=1e-10)
    with torch.no_grad():
        model.v[1, 0, place("J_Kd")] = 0.5
    assert not torch.allclose(log_probabilities(model, batch), before, atol=1e-3)


def test_one_hot_labels_would_leave_the_same_scores_silent():
    """There s = 1 at every labelled point: it adds the same to all scores of a reader, and cancels in the softmax."""
    batch, model = draw(4, n_points=8), spread(EquivariantTransformer(depth=1))
    z = model.embed(batch.x, batch.context_y)
    z[:, :8, 5:] += 1 / 3
    m, v = (part[0].detach() for part in model.weights())
    extra = assemble(torch.tensor([0, 0, 0, 1.0, 1.0, 0], dtype=torch.float64), 5, 3)
    assert torch.allclose(attention_layer(z, 8, m + extra, v)[1], attention_layer(z, 8, m, v)[1], atol=1e-12)


@given(seed=seeds)
def test_scores_that_depend_on_the_query_alone_cancel(seed):
    """Dense weights too: in the first layer any a (0, 1)^T in M adds <z_i, a> s_j, the same (none) for all j."""
    batch = draw(4, 2, seed, n_points=6)
    model = spread(DenseTransformer(depth=3), seed)
    before = log_probabilities(model, batch)
    with torch.no_grad():
        model.m[0, 0, :, 5:] += 3 * normal(8, 1, seed=seed)
    assert torch.allclose(log_probabilities(model, batch), before, rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        model.m[0, 0, :, 0] += 0.1
    assert not torch.allclose(log_probabilities(model, batch), before, rtol=1e-6, atol=1e-6)


def test_a_constant_on_all_scores_cancels():
    z, m = normal(2, 6, 4), normal(1, 4, 4)
    z[:, :5, 3] = 1  # a feature that is 1 at every context point
    extra = torch.zeros_like(m)
    extra[0, :, 3] = normal(4)  # adds the same to all scores of a reader
    assert torch.allclose(attention_layer(z, 5, m + extra, m)[0], attention_layer(z, 5, m, m)[0], atol=1e-12)


def test_the_sum_of_the_logits_is_not_read_out():
    batch, model = draw(8, 2), spread(EquivariantTransformer(depth=2))
    logits = model(batch.x, batch.context_y)
    with torch.no_grad():
        model.v[-1, 0, COORDINATES.index("J_Kd")] += 1
    shift = model(batch.x, batch.context_y) - logits
    assert shift.abs().max() > 1e-3
    assert torch.allclose(shift, shift[..., :1].expand_as(shift), atol=1e-12)


def test_the_sum_of_labels_is_a_memory_cell_in_free_units():
    """(a, s) -> (a + k s, c s), with a = <1, x>/sqrt(d) and s = <1, u>/sqrt(K): M -> T^-T M T^-1, V -> T V T^-1."""
    batch, model = draw(8, 2, n_points=10), spread(DenseTransformer(depth=3, heads=2))
    with torch.no_grad():
        for part in (model.m, model.v):
            part.copy_(project(part, 5, 3))
    before = log_probabilities(model, batch)
    # I + k J_dK + (c - 1) J_K, for J_dK carries s to a and J_K is the projection onto s
    k, c = 0.7, -1.9
    change = assemble(torch.tensor([1, 0, 1, c - 1, k, 0], dtype=torch.float64), 5, 3)
    back = torch.linalg.inv(change)
    with torch.no_grad():
        model.m.copy_(back.T @ model.m @ back)
        model.v.copy_(change @ model.v @ back)
    assert not torch.allclose(model.m, project(DenseTransformer(depth=3, heads=2).double().m, 5, 3))
    assert torch.allclose(log_probabilities(model, batch), before, atol=1e-9)


@pytest.mark.parametrize(
    ("depth", "heads", "scalars", "d", "k", "free"),
    [
        (2, 1, 12, 5, 3, 12),
        (3, 1, 12, 2, 2, 12),
        (2, 2, 12, 4, 4, 22),
        (2, 1, 12, 1, 3, 15),  # I_d = J_d in both M and the first V: three more
        (1, 1, 12, 5, 3, 10),  # nothing stands between first and last; scale and I_K of V only enter as a product
        (3, 1, 4, 5, 3, 1),
        (2, 2, 4, 5, 3, 2),
    ],
)
def test_how_many_scalars_are_free(depth, heads, scalars, d, k, free):
    """Rank of the Jacobian of the class probabilities: 10 H + 2 of 12 L H + 1 change nothing, H of 4 L H + 1."""
    batch = draw(20, 3, n_points=10, n_features=d, n_classes=k)
    model = spread(EquivariantTransformer(d, k, depth, heads, scalars))
    weights = {name: part.detach() for name, part in model.named_parameters()}

    def function(weights):
        return functional_call(model, weights, (batch.x, batch.context_y)).log_softmax(-1).flatten()

    parts = jacrev(function)(weights).values()
    jacobian = torch.cat([part.reshape(len(part), -1) for part in parts], 1)
    size = jacobian.norm(dim=0, keepdim=True)
    singular = torch.linalg.svdvals(jacobian / torch.where(size > 1e-9, size, 1))
    assert jacobian.shape[1] == scalars * depth * heads + 1
    assert int((singular < 1e-10 * singular[0]).sum()) == free
    assert singular[-free - 1] > 1e-6 * singular[0]  # and the next one is far from zero


# Valid edges, end to end


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("cls", [DenseTransformer, EquivariantTransformer])
@pytest.mark.parametrize(
    ("n", "d", "k", "q"), [(1, 1, 2, 1), (5, 1, 2, 3), (1, 3, 4, 2), (4, 2, 2, 50), (3, 3, 3, 1), (60, 2, 6, 1)]
)
def test_edges_end_to_end(n, d, k, q, cls, dtype):
    task = LinearTask(n, d, k)
    model = cls(d, k, depth=2, heads=2).to(dtype)
    history = train(model, task, steps=3, batch_size=5, n_queries=q, progress=False)
    assert all(math.isfinite(loss) for loss in history.loss)
    report = evaluate(model, task, n_tasks=10, n_queries=q)
    assert 0 <= report.accuracy <= 1 and math.isfinite(report.cross_entropy) and math.isfinite(report.accuracy_se)
    batch = task.sample(4, n_queries=q, dtype=dtype)
    logits = model(batch.x, batch.context_y)
    assert logits.dtype == dtype and logits.isfinite().all() and logits.shape == ((4, k) if q == 1 else (4, q, k))
    error = equivariance_error(model, batch)
    assert math.isfinite(error) and (cls is DenseTransformer or error < 1e-5)


def test_a_context_of_a_single_class_end_to_end():
    x = normal(2, 5, 3)
    batch = Batch(x, torch.tensor([[1, 1, 1, 1, 0], [2, -1, -1, -1, 1]]), None, n_classes=3)
    for model in both(3, 3):
        assert model(x, batch.context_y).isfinite().all()
    probabilities = bayes_predict(batch)
    assert torch.allclose(probabilities.sum(-1), torch.ones_like(probabilities[:, 0]))


def test_layout_and_gradients_of_the_input_do_not_matter():
    batch = draw(4, 2)
    strided = batch.x.mT.contiguous().mT
    assert not strided.is_contiguous()
    for model in both():
        expected = model(batch.x, batch.context_y)
        assert torch.allclose(model(strided, batch.context_y.T.contiguous().T), expected, rtol=1e-12)
        x = batch.x.clone().requires_grad_()
        logits = model(x, batch.context_y)
        logits.sum().backward()
        assert torch.equal(logits, expected) and x.grad.isfinite().all()


def test_large_and_tiny_features_are_served():
    batch = draw(4)
    for size in (1e-300, 1e-30, 1e3, 1e30):
        logits = EquivariantTransformer(depth=1).double()(size * batch.x, batch.context_y)
        assert logits.isfinite().all()


# Bad input


@pytest.mark.parametrize("cls", [DenseTransformer, EquivariantTransformer])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_features": 0}, "n_features=0; .*at least 1"),
        ({"n_classes": 1}, "n_classes=1; .*at least 2"),
        ({"depth": 0}, "depth=0"),
        ({"depth": 2.0}, "depth=2.0"),
        ({"depth": True}, "depth=True"),
        ({"heads": -1}, "heads=-1"),
        ({"heads": None}, "heads=None"),
        ({"seed": -1}, "seed=-1; .*from 0 to"),
        ({"seed": 2**40}, "seed="),
        ({"seed": "a"}, "seed='a'"),
    ],
    ids=str,
)
def test_models_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)


@pytest.mark.parametrize("scalars", [0, 6, 24, None, "12"], ids=repr)
def test_scalars_refused(scalars):
    with pytest.raises(ValueError, match=r"scalars=.*12 .*or 4"):
        EquivariantTransformer(scalars=scalars)


X, Y = torch.zeros(2, 6, 5), torch.zeros(2, 5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X.numpy(), Y, "x is a ndarray; it must be a torch.Tensor"),
        (X.tolist(), Y, "x is a list"),
        (None, Y, "x is a NoneType"),
        (X, Y.numpy(), "y is a ndarray"),
        (X, Y.tolist(), "y is a list"),
        (X, None, "y is a NoneType"),
        (X.half(), Y, "x is torch.float16; it must be torch.float32 or torch.float64"),
        (X.bfloat16(), Y, "x is torch.bfloat16"),
        (X.long(), Y, "x is torch.int64"),
        (X.double(), Y, "x is torch.float64 and the model torch.float32; cast one"),
        (X, Y.int(), "y is torch.int32; it must be torch.int64"),
        (X, Y.float(), "y is torch.float32"),
        (X[0], Y, r"x has shape \(6, 5\).*must be \(B, n \+ q, d\)"),
        (X, Y[0], r"y \(5,\); they must be"),
        (X, Y[..., None], r"y \(2, 5, 1\)"),
        (X[:1], Y, "x holds 1 tasks and y 2"),
        (X[:0], Y[:0], "needs a task"),
        (X, Y[:, :0], "a context point"),
        (X[:, :5], Y, "5 points with 5 context labels leave no query"),
        (X[:, :4], Y, "leave no query"),
        (X[..., :4], Y, "x has 4 features; this model reads 5"),
        (X[..., :0], Y, "a feature at least"),
        (X + math.nan, Y, "x holds NaN or infinity"),
        (X + math.inf, Y, "x holds NaN or infinity"),
        (X, Y + 3, r"labels run from 3 to 3; they must lie in 0\.\.2"),
        (X, Y - 2, "labels run from -2"),
        (X, Y - 1, "no labelled point"),
        (X.to_sparse(), Y, "x is sparse"),
        (X.to("meta"), Y, "meta"),
        (X, Y.to("meta"), "meta"),
        (X + 3e38, Y, "the logits are not finite: features reach 3.0e.38"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("cls", [DenseTransformer, EquivariantTransformer])
def test_prompts_refused(cls, x, y, message):
    with pytest.raises(ValueError, match=message):
        cls(depth=2)(x, y)


def test_overflow_is_never_silent():
    batch = draw(4)
    for model in both():
        for call in (model, model.trajectory):
            with pytest.raises(ValueError, match=r"not finite|NaN or infinity"):
                call(1e200 * batch.x, batch.context_y)
            with torch.no_grad():
                model.v[0] = math.nan
            with pytest.raises(ValueError, match=r"not finite|NaN or infinity"):
                call(batch.x, batch.context_y)


@pytest.mark.parametrize(
    "weights",
    [
        (torch.zeros(2, 1, 7, 7), torch.zeros(2, 1, 7, 7)),
        (torch.zeros(2, 1, 8, 8), torch.zeros(1, 1, 8, 8)),
        (torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)),
    ],
    ids=["another D", "another depth", "no heads"],
)
def test_other_weights_refused(weights):
    with pytest.raises(ValueError, match=r"weights have shapes .*\(L, H, D, D\) with D=8"):
        EquivariantTransformer()(X, Y, weights=weights)


def test_half_precision_is_refused():
    for x in (X, X.half()):
        with pytest.raises(ValueError, match=r"torch\.float16"):
            EquivariantTransformer().half()(x, Y)


@pytest.mark.parametrize("shared", [InContextTransformer, AttentionTransformer])
def test_the_shared_classes_are_no_models(shared):
    with pytest.raises(TypeError, match="abstract"):
        shared()


def test_a_model_says_what_it_is_in_one_line():
    assert repr(EquivariantTransformer(depth=2, copies=3)) == (
        "EquivariantTransformer(n_features=5, n_classes=3, depth=2, heads=1, scalars=12, copies=3)"
    )


def test_a_model_at_another_size():
    equivariant, dense = EquivariantTransformer(depth=2), DenseTransformer(depth=2)
    assert equivariant.at(5, 3) is equivariant and dense.at(5, 3) is dense
    other = equivariant.at(7, 2, share=True)
    assert (other.n_features, other.n_classes) == (7, 2) and other.m is equivariant.m
    assert equivariant.at(7, 2).m is not equivariant.m
    with pytest.raises(ValueError, match="the task has d=7, K=2; the model reads d=5, K=3"):
        dense.at(7, 2)


def test_counts_may_be_numpys():
    model = EquivariantTransformer(np.int64(2), np.int64(3), np.int64(1), np.int64(2), copies=np.int64(2))
    assert json.dumps(model.config)


def test_layers_are_seen_by_torch():
    """Parameters, state and dtype behave as in any module."""
    for model in (DenseTransformer(), EquivariantTransformer()):
        assert set(model.state_dict()) == {"m", "v", "scale"}
        assert isinstance(model.double().weights()[0], Tensor) and model.dtype == torch.float64
        assert type(model)(**model.config).config == model.config


@pytest.mark.parametrize("heads", [1, 3])
def test_long_contexts_are_answered_as_short_ones(heads, monkeypatch):
    """Without the attention of all points, to rounding; gradients too."""
    model = EquivariantTransformer(4, 3, 3, heads, seed=1).double()
    batch = LinearTask(20, 4, 3).sample(2, n_queries=3, dtype=torch.float64)
    found = []
    for long in (10**9, 1):
        monkeypatch.setattr(attention_module, "LONG", long)
        logits = model(batch.x, batch.context_y)
        found.append((logits.detach(), *torch.autograd.grad(logits.square().sum(), [model.m, model.v])))
    for plain, fused in zip(*found, strict=True):
        assert (plain - fused).abs().max() <= 1e-12 * plain.abs().max()
