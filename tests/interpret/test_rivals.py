"""Each rival's step against its definition (derivatives, scikit-learn, loops), then the fitting and the scores."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn.functional import cross_entropy

from icl_nb.interpret.rivals import (
    RIVALS,
    UNSEEN,
    State,
    explain,
    kernel_smoothing,
    r_squared,
    two_mean_shifts,
    walk,
)
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.recursion import Recursion
from icl_nb.tasks.linear import LinearTask

EXACT = 1e-12
seeds = st.integers(0, 10**6)
QUERIES = slice(-2, None)


def draw_state(seed=0, tasks=2, n=9, d=3, k=3, unlabelled=0):
    """A state in the middle of a run, all of its parts different from one another."""
    random = np.random.default_rng(seed)
    y = np.eye(k)[random.permuted(np.tile(np.arange(n) % k, (tasks, 1)), axis=1)]
    y[:, n - unlabelled :] = 0
    x0, u, memory = (random.normal(size=(tasks, *shape)) for shape in ((n + 2, d), (n + 2, k), (2 * d, k)))
    u -= u.mean(-1, keepdims=True)
    x = x0 + 0.3 * random.normal(size=x0.shape)
    return State(x, u, x0, y, QUERIES, (memory[:, :d], memory[:, d:]))


def loss(W, x, y):
    """Mean cross-entropy of softmax regression, W (d, K)."""
    return cross_entropy(x @ W, y)


@given(seeds)
def test_weight_gradient_is_the_derivative(seed):
    state = draw_state(seed)
    (W, direction), theta = state.memory, 0.3
    move = RIVALS["GD, weights"].step(state, (theta,))
    unit = RIVALS["normalised GD, weights"].step(state, (theta,))
    for b in range(2):
        x, y = torch.from_numpy(state.x0[b]), torch.from_numpy(state.y[b].argmax(-1))
        here = torch.from_numpy(W[b] + np.exp(theta) * direction[b]).requires_grad_()
        downhill = -torch.autograd.grad(loss(here, x[:9], y), here)[0].numpy()
        assert np.abs(move.memory[0][b] - here.detach().numpy()).max() <= EXACT
        assert np.abs(move.memory[1][b] - downhill).max() <= EXACT
        assert np.abs(move.label[b] - state.x0[b, -2:] @ downhill).max() <= EXACT
        assert np.abs(unit.label[b] - state.x0[b, -2:] @ downhill / np.linalg.norm(downhill)).max() <= 1e-10


@given(seeds)
@settings(max_examples=30)
def test_newton_solves_with_the_second_derivative(seed):
    state = draw_state(seed)
    theta = (-0.5, -2.0)
    move = RIVALS["Newton"].step(state, theta)
    for b in range(2):
        x, y = torch.from_numpy(state.x0[b, :9]), torch.from_numpy(state.y[b].argmax(-1))
        here = torch.from_numpy(state.memory[0][b] + np.exp(theta[0]) * state.memory[1][b])

        def ridged(W, x=x, y=y):
            return loss(W, x, y) + 0.5 * np.exp(theta[1]) * (W**2).sum()

        gradient = torch.autograd.functional.jacobian(ridged, here).reshape(-1)
        curvature = torch.autograd.functional.hessian(ridged, here).reshape(9, 9)
        direction = -torch.linalg.solve(curvature, gradient).reshape(3, 3).numpy()
        assert np.abs(move.memory[1][b] - direction).max() <= 1e-9
        assert np.abs(move.label[b] - state.x0[b, -2:] @ direction).max() <= 1e-8


def test_newton_reaches_the_minimum_where_descent_does_not():
    state = dataclasses.replace(draw_state(n=40), memory=(np.zeros((2, 3, 3)),) * 2)
    sizes = {}
    for name, theta in (("Newton", (0.0, -2.0)), ("GD, weights", (0.0,))):
        now = state
        for _ in range(8):
            now = dataclasses.replace(now, memory=RIVALS[name].step(now, theta).memory)
        W, p = now.memory[0], softmax(state.x0[:, :40] @ now.memory[0], -1)
        slope = state.x0[:, :40].mT @ (state.y - p) / 40 - np.exp(-2.0) * W * (name == "Newton")
        sizes[name] = np.abs(slope).max()
    assert sizes["Newton"] < 1e-8 < 1e-4 < sizes["GD, weights"]


@given(seeds)
def test_function_gradient_by_loops(seed):
    state = draw_state(seed)
    theta = 0.4
    label, unit = (RIVALS[name].step(state, (theta,)).label for name in ("GD, function", "normalised GD, function"))
    for b in range(2):
        residual = state.y[b] - softmax(np.exp(theta) * state.u[b, :9], -1)
        for query in (-2, -1):
            move = sum((state.x[b, j] @ state.x[b, query]) * residual[j] for j in range(9))
            length = sum(
                residual[i] @ residual[j] * (state.x[b, i] @ state.x[b, j]) for i in range(9) for j in range(9)
            )
            assert np.abs(label[b, query] - move).max() <= EXACT * 10
            assert np.abs(unit[b, query] - move / np.sqrt(length)).max() <= EXACT * 10


@given(seeds, st.floats(-2, 2), st.floats(-2, 2))
def test_attention_rivals_by_loops(seed, alpha, beta):
    state = draw_state(seed)
    ours = RIVALS["coupled"].step(state, (alpha, beta))
    blind = RIVALS["mean-shift, no labels"].step(state, (alpha,))
    static = RIVALS["kernel smoothing"].step(state, (alpha,))
    for b in range(2):
        for query in (-2, -1):
            features = np.array([state.x[b, j] @ state.x[b, query] for j in range(9)])
            labels = np.array([state.u[b, j] @ state.u[b, query] for j in range(9)])
            given_features = np.array([state.x0[b, j] @ state.x0[b, query] for j in range(9)])
            for move, scores in ((ours, alpha * features + beta * labels), (blind, alpha * features)):
                weights = np.exp(scores) / np.exp(scores).sum()
                assert np.abs(move.label[b, query] - weights @ state.u[b, :9]).max() <= EXACT * 10
                assert np.abs(move.feature[b, query] - weights @ state.x[b, :9]).max() <= EXACT * 10
            weights = np.exp(alpha * given_features) / np.exp(alpha * given_features).sum()
            assert np.abs(static.label[b, query] - weights @ (state.y[b] - 1 / 3)).max() <= EXACT * 10
    assert static.feature is None


@pytest.mark.parametrize("name", ["LDA", "LDA, current"])
@pytest.mark.parametrize("theta", [-9.0, 0.0, 2.0])
def test_lda_is_scikit_learns(name, theta):
    state = draw_state(n=30)
    points = state.x if name == "LDA, current" else state.x0
    label = RIVALS[name].step(state, (theta, 0.0)).label
    for b in range(2):
        x, y = points[b, :30], state.y[b].argmax(-1)
        means = np.stack([x[y == c].mean(0) for c in range(3)])
        rest = x - means[y]
        if theta == -9.0:  # next to no shrinking, which scikit-learn does to each class by itself
            theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(x, y).predict_proba(points[b, -2:])
            assert np.abs(label[b] + 1 / 3 - theirs).max() <= 1e-3
        shrink = 1 / (1 + np.exp(-theta))
        S = (1 - shrink) * rest.T @ rest / 30 + shrink * np.trace(rest.T @ rest) / 30 / 3 * np.eye(3)
        distances = [[(q - mu) @ np.linalg.inv(S) @ (q - mu) for mu in means] for q in points[b, -2:]]
        theirs = softmax(np.log(state.y[b].mean(0)) - 0.5 * np.array(distances), -1)
        assert np.abs(label[b] + 1 / 3 - theirs).max() <= 1e-7


def test_lda_gives_an_absent_class_nothing():
    state = draw_state(n=9)
    y = state.y.copy()
    y[..., 1] += y[..., 2]
    y[..., 2] = 0
    label = RIVALS["LDA"].step(dataclasses.replace(state, y=y), (0.0, 0.0)).label
    assert (label[..., 2] == -1 / 3).all()


@pytest.mark.parametrize("name", ["GD, weights", "normalised GD, weights", "Newton", "LDA", "LDA, current"])
def test_unlabelled_points_count_for_nothing(name):
    state = draw_state(unlabelled=3)
    without = dataclasses.replace(
        state,
        x=np.delete(state.x, slice(6, 9), 1),
        u=np.delete(state.u, slice(6, 9), 1),
        x0=np.delete(state.x0, slice(6, 9), 1),
        y=state.y[:, :6],
    )
    theta = np.array(RIVALS[name].starts[0])
    ours = RIVALS[name].step(state, theta).label
    if name == "Newton":
        theta[1] += np.log(9 / 6)  # the ridge stands beside a mean over all points
    theirs = RIVALS[name].step(without, theta).label
    if name == "GD, weights":
        theirs = theirs * 6 / 9  # as does the gradient
    assert np.abs(ours - theirs).max() <= 1e-10


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_keeps_the_classes_apart_and_alike(name):
    """Moves are centred, and to rename the classes renames the moves."""
    state, theta = draw_state(), RIVALS[name].starts[-1]
    move = RIVALS[name].step(dataclasses.replace(state, memory=(state.memory[0] * 0,) * 2), theta).label
    assert np.abs(move.sum(-1)).max() <= 1e-9
    order = [2, 0, 1]
    renamed = dataclasses.replace(
        state, u=state.u[..., order], y=state.y[..., order], memory=tuple(part[..., order] for part in state.memory)
    )
    ours, theirs = (RIVALS[name].step(part, theta).label for part in (state, renamed))
    assert np.abs(ours[..., order] - theirs).max() <= 1e-9


# Fitting and scores


def trained_like():
    """A table of the size and signs that training finds."""
    table = {
        "alpha": [[0.4], [-0.6], [1.3]],
        "beta": [[1.0], [2.5], [-0.7]],
        "gamma": [[-0.5], [1.1], [0.1]],
        "delta": [[0.3], [0.4], [0.6]],
    }
    return Recursion(table, scale=5.0)


@pytest.fixture(scope="module")
def explained():
    """A recursion explained by some of the rivals."""
    names = ["coupled", "mean-shift, no labels", "GD, function", "GD, weights", "LDA"]
    batch = LinearTask(n_points=20).sample(80, seed=1, n_queries=3, dtype=torch.float64)
    return explain(trained_like(), batch, rivals={name: RIVALS[name] for name in names})


def test_the_coupled_rival_finds_the_scalars(explained):
    row = explained.names.index("coupled")
    assert (explained.label[row] > 0.99999).all() and (explained.feature[row] > 0.99999).all()
    found = explained.theta["coupled"]
    assert found[:, 0] == pytest.approx(trained_like().table.alpha[:, 0], abs=2e-3)
    # In the first layer queries have u = 0, and no beta shows.
    assert found[1:, 1] == pytest.approx(trained_like().table.beta[1:, 0], abs=5e-3)
    assert explained.on_path[row].agreement == 1.0 and explained.alone[row].agreement > 0.99


def test_the_others_do_not(explained):
    for name in ("GD, function", "GD, weights", "LDA"):
        row = explained.names.index(name)
        assert (explained.label[row] < 0.97).all() and not explained.feature[row].any()
    blind = explained.names.index("mean-shift, no labels")
    assert explained.label[blind, 0] > 0.99999  # without a label of its own, a query is met as the blind rival says
    assert (explained.label[blind, 1:] < 0.99).all()


def test_the_recursion_explains_itself(explained):
    assert explained.names[-1] == "recursion"
    assert np.abs(explained.label[-1] - 1).max() <= EXACT and np.abs(explained.feature[-1] - 1).max() <= EXACT
    assert explained.on_path[-1].max_difference <= 1e-10 and explained.alone[-1].max_difference <= 1e-10


def test_prints_a_row_for_each(explained):
    lines = str(explained).splitlines()
    assert len(lines) == 1 + len(explained.names)
    assert re.findall(r"\d+", lines[0].partition("layer")[2]) == [
        str(level + 1) for level in range(len(explained.motion))
    ]
    assert lines[-1].split()[0] == "recursion" and lines[-1].split()[-1] == "1.000"


@pytest.mark.parametrize("name", ["GD, weights", "normalised GD, weights", "Newton"])
def test_a_rival_wins_where_it_is_the_truth(name):
    """The positive control: queries moved by descent are explained by descent, and not by attention."""
    batch = LinearTask(n_points=20).sample(60, seed=2, n_queries=3, dtype=torch.float64)
    y = np.eye(3)[batch.context_y.numpy()]
    x0 = batch.x.numpy()
    x, u = np.stack([x0] * 4), np.zeros((4, 60, 23, 3))
    u[:, :, :20] = y - 1 / 3
    truth = {"GD, weights": (1.0,), "normalised GD, weights": (0.5,), "Newton": (-0.2, -3.0)}[name]
    memory = (np.zeros((60, 5, 3)),) * 2
    for t in range(3):
        move = RIVALS[name].step(State(x[t], u[t], x0, y, slice(20, None), memory), truth)
        u[t + 1, :, 20:], memory = u[t, :, 20:] + 0.7 * move.label, move.memory
    ours, theirs = (walk(RIVALS[rival], x, u, y, 30, on_path=True) for rival in (name, "kernel smoothing"))
    assert (ours.label > 0.999).all()
    assert (theirs.label[1:] < 0.98).all()
    assert r_squared(u[-1, 30:, 20:], ours.end[30:]) > 0.999


def test_alone_a_rival_mends_what_it_missed_before():
    """A layer that moves the query by more than the rival knows, and one that takes the rest back."""
    batch, rng = LinearTask(20, 3, 3).sample(60, seed=3, n_queries=4, dtype=torch.float64), np.random.default_rng(0)
    x, y = batch.x.numpy(), np.eye(3)[batch.context_y]
    u = np.concatenate([y - 1 / 3, np.zeros((60, 4, 3))], 1)
    known = kernel_smoothing(State(x, u, x, y, slice(-4, None), ()), (1.0,)).label
    path = np.stack([u, u, u])
    path[1, :, -4:] = known + known.std() * rng.normal(size=known.shape)
    path[2, :, -4:] = 2 * known
    points = np.stack([x] * 3)
    on_path, alone = (walk(RIVALS["kernel smoothing"], points, path, y, 30, on_path=way) for way in (True, False))
    assert on_path.label[1] < 0.8 and alone.label[1] > 0.98
    assert r_squared(path[2, 30:, -4:], alone.end[30:]) > 0.98


def test_motion_weighs_the_layers(explained):
    """The layers' R^2, weighted by how much moves in each, are the R^2 of all moves together."""
    batch = LinearTask(n_points=20).sample(80, seed=1, n_queries=3, dtype=torch.float64)
    moves = np.diff(trained_like().trajectory(batch.x, batch.context_y).u[:, 40:, 20:], axis=0)
    assert explained.motion == pytest.approx([(move**2).sum() / (moves**2).sum() for move in moves], abs=EXACT)
    assert explained.label[-1] @ explained.motion == pytest.approx(1, abs=EXACT)


def test_alone_can_be_left_out(explained):
    batch = LinearTask(n_points=20).sample(80, seed=1, n_queries=3, dtype=torch.float64)
    few = {name: RIVALS[name] for name in ("GD, weights", "LDA")}
    short = explain(trained_like(), batch, rivals=few, alone=False)
    rows = [explained.names.index(name) for name in short.names]
    assert short.alone == () and (short.label == explained.label[rows]).all()
    assert [path.agreement for path in short.on_path] == [explained.on_path[row].agreement for row in rows]
    assert "alone" not in str(short) and len(str(short).splitlines()) == 4


def test_explains_networks_of_every_kind():
    batch = LinearTask(n_points=8).sample(12, seed=3, n_queries=2)
    few = {"kernel smoothing": RIVALS["kernel smoothing"]}
    for model in (DenseTransformer(depth=2, heads=2), EquivariantTransformer(depth=2)):
        explanation = explain(model, batch, rivals=few)
        assert explanation.label.shape == (2, 2)
        assert (explanation.label[-1] < 1 - 1e-5).all()  # what was read off leaves something out
    four = explain(EquivariantTransformer(depth=2, heads=2, scalars=4), batch, rivals=few)
    assert np.abs(four.label[-1] - 1).max() <= 1e-5


def test_r_squared():
    truth = np.array([1.0, -2.0, 2.0])
    assert r_squared(truth, truth) == 1 and r_squared(truth, 0 * truth) == 0 and r_squared(truth, -truth) == -3
    assert np.isnan(r_squared(0 * truth, truth))


def test_a_layer_without_moves_has_no_score():
    mute = trained_like().replace(delta=0)
    batch = LinearTask(n_points=8).sample(8, n_queries=2)
    explanation = explain(mute, batch, rivals={"LDA": RIVALS["LDA"]})
    assert np.isnan(explanation.label).all() and not np.isnan(explanation.feature).any()
    assert np.isnan(explanation.motion).all()


def test_refuses_too_few_tasks():
    with pytest.raises(ValueError, match="both halves"):
        explain(trained_like(), LinearTask().sample(3))


def test_a_memory_is_refused_in_one_sentence():
    memory = EquivariantTransformer(depth=2, scalars=4, copies=2)
    for model in (memory, Recursion.from_model(memory)):
        with pytest.raises(ValueError, match=r"with a memory ask `interpret\.knowledge\.explain_answer`"):
            explain(model, LinearTask().sample(8))


@given(seeds)
@settings(max_examples=20)
def test_two_heads_without_labels_are_mixtures_of_one(seed):
    state = draw_state(seed)
    one, other = (RIVALS["mean-shift, no labels"].step(state, (theta,)).label for theta in (0.7, -1.2))
    for angle in (0.0, 0.4, np.pi / 2):
        move = two_mean_shifts(state, (0.7, -1.2, angle))
        assert np.abs(move.label - np.cos(angle) * one - np.sin(angle) * other).max() <= EXACT
        assert move.feature is None
    blind = dataclasses.replace(state, u=state.u.copy())
    blind.u[:, QUERIES] += 5.0  # what the query believes is not looked at
    assert np.array_equal(
        two_mean_shifts(blind, (0.7, -1.2, 0.4)).label, two_mean_shifts(state, (0.7, -1.2, 0.4)).label
    )


def test_two_heads_without_labels_win_where_they_are_the_truth_and_lose_where_labels_are():
    batch = LinearTask().sample(40, seed=4, n_queries=4, dtype=torch.float64)
    rivals = UNSEEN | {name: RIVALS[name] for name in ("coupled", "mean-shift, no labels")}
    pair = {"alpha": [[1.5, -0.4]] * 2, "beta": 0.0, "gamma": [[-0.3, 0.2]] * 2, "delta": [[0.6, -0.5]] * 2}
    found = explain(Recursion(pair), batch, rivals=rivals, alone=False)
    assert found.label[0].min() > 0.999 > found.label[2].max()
    single = {"alpha": [[0.8]] * 3, "beta": 3.0, "gamma": 0.2, "delta": 0.5}
    found = explain(Recursion(single), batch, rivals=rivals, alone=False)
    assert found.label[1].min() > 0.999 > 0.99 > found.label[0].min()
