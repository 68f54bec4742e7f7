"""The task against its definition, with budgets where it is random, and everything that is no task or batch refused."""

import dataclasses
import hashlib
import json
import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from icl_nb.checks import DTYPES
from icl_nb.tasks.batch import UNLABELLED, Batch
from icl_nb.tasks.families import ClusterTask, CurvedTask, HeavyTask
from icl_nb.tasks.linear import LinearTask, MixedTask, feature_scale
from icl_nb.tasks.tables import TableTask

sizes = {"n_points": st.integers(1, 6), "n_features": st.integers(1, 5), "n_classes": st.integers(2, 5)}


def share_within(count, total, probability):
    """Four binomial standard errors: a chance of 6e-5 of failing where the claim holds, and the seed is fixed."""
    return abs(count / total - probability) < 4 * math.sqrt(probability * (1 - probability) / total)


# What a sample is


@given(
    **sizes,
    n_tasks=st.integers(1, 5),
    n_queries=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_a_sample_is_labelled_by_its_class_vectors(n_points, n_features, n_classes, n_tasks, n_queries, seed, dtype):
    task = LinearTask(n_points, n_features, n_classes)
    batch = task.sample(n_tasks, seed=seed, n_queries=n_queries, dtype=dtype)
    assert batch.x.shape == (n_tasks, n_points + n_queries, n_features) and batch.x.dtype == dtype
    assert batch.y.shape == (n_tasks, n_points + n_queries) and batch.y.dtype == torch.int64
    assert batch.w.shape == (n_tasks, n_classes, n_features) and batch.w.dtype == dtype
    x, w = batch.x.double().numpy(), batch.w.double().numpy()
    for b in range(n_tasks):
        for j in range(n_points + n_queries):
            scores = [sum(w[b, k, i] * x[b, j, i] for i in range(n_features)) for k in range(n_classes)]
            assert scores[batch.y[b, j]] >= max(scores) - 1e-12


@pytest.mark.parametrize("options", [{}, {"noise": 0.2}, {"shift": 1.0}, {"unlabelled": 0.3}], ids=str)
def test_a_seed_fixes_the_sample(options):
    task = LinearTask(**options)
    once, again, other = (task.sample(3, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(once.x, again.x) and torch.equal(once.y, again.y) and torch.equal(once.w, again.w)
    assert not torch.equal(once.x, other.x)


@pytest.mark.parametrize(
    ("task", "total", "power", "labels"),
    [
        (LinearTask(), -67.13401455840753, 4164.294830862877, "c2da401bb369"),
        (LinearTask(noise=0.2, shift=1.0, unlabelled=0.3), 4232.865985441593, 8330.026801746062, "53e9c4bc5b1b"),
        (MixedTask(), -1.8563641794318233, 9717.032089239043, "0c56703a10d3"),
        (MixedTask(correlation=0.5, bias=0.3), -105.33779621601697, 9794.818334970685, "4787e0e855e7"),
        (CurvedTask(), -32.778593383424024, 1620.1613278249513, "6c3345619160"),
        (ClusterTask(), -27.013047846493144, 4322.702215674971, "4c163054a90f"),
        (HeavyTask(), -124.09481543565397, 27703.47358535475, "c2da401bb369"),
        (TableTask(), 12.36687830810115, 7542.026641772065, "afd7252a0427"),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_a_sample_is_the_one_that_stored_outputs_come_from(task, total, power, labels):
    """Every chapter rests on it: who moves a random number in any task changes the whole book."""
    batch = task.sample(20, seed=1, n_queries=3, dtype=torch.float64)
    rounding = {"rel": 1e-9, "abs": 1e-9} if not isinstance(task, TableTask) else {"rel": 1e-4, "abs": 1e-2}  # float32
    assert batch.x.sum().item() == pytest.approx(total, **rounding)
    assert batch.x.square().sum().item() == pytest.approx(power, **rounding)
    assert hashlib.sha256(batch.y.numpy().tobytes()).hexdigest()[:12] == labels


def test_a_generator_is_continued():
    first, again = (torch.Generator().manual_seed(3) for _ in range(2))
    x, x_later = (LinearTask().sample(2, seed=first).x for _ in range(2))
    assert torch.equal(x, LinearTask().sample(2, seed=again).x)
    assert not torch.equal(x, x_later)
    assert not torch.equal(x, LinearTask().sample(2, seed=3).x)  # a number starts another stream than training does


def test_both_dtypes_draw_the_same_tasks():
    single, double = (LinearTask().sample(50, dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert torch.equal(single.x, double.x.float()) and torch.equal(single.w, double.w.float())
    assert (single.y != double.y).double().mean() < 1e-3  # only where rounding moves a point over the border


def test_sampling_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    LinearTask(noise=0.1).sample(2)
    assert torch.equal(state, torch.get_rng_state())


# The distribution


def test_points_and_class_vectors_are_standard_normal():
    batch = LinearTask(n_points=4, n_features=3).sample(2000, dtype=torch.float64)
    assert kstest(batch.x.flatten().numpy(), "norm").pvalue > 1e-3  # 30,000 values
    assert kstest(batch.w.flatten().numpy(), "norm").pvalue > 1e-3


def test_shift_moves_every_feature():
    batch = LinearTask(n_features=3, shift=2.0).sample(1000, dtype=torch.float64)
    assert kstest((batch.x - 2).flatten().numpy(), "norm").pvalue > 1e-3


def test_classes_are_equally_likely():
    y = LinearTask(n_points=1, n_classes=4).sample(20_000).y[:, 0]  # one point a task: independent
    for k in range(4):
        assert share_within((y == k).sum().item(), len(y), 1 / 4)


def test_noise_replaces_context_labels_evenly_and_answers_never():
    noisy = LinearTask(n_points=10, n_classes=4, noise=0.3).sample(5000, n_queries=3)
    truth = (noisy.x.double() @ noisy.w.double().mT).argmax(-1)
    assert noisy.noise == 0.3
    assert torch.equal(noisy.query_y, truth[:, -3:])
    step = (noisy.context_y - truth[:, :10]) % 4
    assert share_within((step != 0).sum().item(), step.numel(), 0.3)
    for k in (1, 2, 3):
        assert share_within((step == k).sum().item(), step.numel(), 0.1)


@pytest.mark.parametrize(
    ("n_points", "unlabelled", "hidden"), [(40, 0.5, 20), (10, 0.29, 2), (100, 0.29, 29), (1, 0.99, 0), (7, 0.999, 6)]
)
def test_unlabelled_points(n_points, unlabelled, hidden):
    batch = LinearTask(n_points=n_points, unlabelled=unlabelled).sample(5)
    assert ((batch.context_y == UNLABELLED).sum(1) == hidden).all()
    assert (batch.query_y >= 0).all()


# Margin


def test_margin_against_a_loop():
    batch = LinearTask(n_points=5, n_features=3, n_classes=4, noise=0.5).sample(3, dtype=torch.float64)
    for b in range(3):
        for j in range(6):
            scores = batch.w[b] @ batch.x[b, j]
            k = int(scores.argmax())
            distances = [
                (scores[k] - scores[other]) / (batch.w[b, k] - batch.w[b, other]).norm()
                for other in range(4)
                if other != k
            ]
            assert batch.margin()[b, j].item() == pytest.approx(min(distances).item(), rel=1e-9)


def test_two_classes_keep_no_margin():
    """The distance from a plane through the origin is the size of one standard normal coordinate."""
    batch = LinearTask(n_points=1, n_classes=2).sample(5000, dtype=torch.float64)
    assert kstest(batch.margin()[:, 0].numpy(), "halfnorm").pvalue > 1e-3


def test_equal_class_vectors_leave_no_margin():
    batch = LinearTask(n_classes=2).sample(2)
    assert not replace(batch, w=batch.w[:, :1].repeat(1, 2, 1)).margin().any()


def test_margin_needs_the_class_vectors():
    with pytest.raises(ValueError, match="w is None"):
        replace(LinearTask().sample(2), w=None).margin()


# What a batch is


def test_context_and_queries_make_up_the_batch():
    batch = LinearTask(n_points=4).sample(2, n_queries=3)
    assert torch.equal(torch.cat([batch.context_x, batch.query_x], 1), batch.x)
    assert torch.equal(torch.cat([batch.context_y, batch.query_y], 1), batch.y)
    assert batch.context_x.shape[1] == 4 and batch.query_y.shape == (2, 3) and len(batch) == 2


def test_slices_are_batches():
    batch = LinearTask(noise=0.1).sample(6, n_queries=2)
    part = batch[1:5:2]
    assert torch.equal(part.x, batch.x[[1, 3]]) and torch.equal(part.y, batch.y[[1, 3]])
    assert torch.equal(part.w, batch.w[[1, 3]]) and (part.n_queries, part.noise) == (2, 0.1)
    assert replace(batch, w=None)[:2].w is None
    with pytest.raises(TypeError, match="sliced"):
        batch[0]
    with pytest.raises(ValueError, match="needs a task"):
        batch[6:]


def test_a_batch_changes_dtype_and_keeps_its_labels():
    batch = LinearTask().sample(2)
    double = batch.to(dtype=torch.float64)
    assert double.x.dtype == double.w.dtype == torch.float64 and torch.equal(double.y, batch.y)
    assert torch.equal(double.to(dtype=torch.float32).x, batch.x)
    assert torch.equal(batch.to(device="cpu").x, batch.x)


def test_batches_and_tasks_are_values():
    batch, task = LinearTask().sample(2), LinearTask()
    assert batch == batch and batch != LinearTask().sample(2) and len({batch, batch}) == 1
    assert task == LinearTask() and task != LinearTask(noise=0.1)
    for frozen, name in ((batch, "x"), (task, "noise")):
        with pytest.raises(FrozenInstanceError):
            setattr(frozen, name, None)


def test_real_data_need_no_class_vectors():
    x = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.tensor([[0, 1, -1, 0, 1]]), None, n_classes=2, n_queries=2)
    assert batch.w is None and batch[:1].w is None and batch.to(dtype=torch.float64).w is None


def test_the_smallest_task():
    batch = LinearTask(n_points=1, n_features=1, n_classes=2).sample(1)
    assert batch.x.shape == (1, 2, 1)


def test_a_context_of_a_single_class():
    batch = LinearTask(n_points=2, n_classes=2).sample(20)
    assert (batch.context_y[:, 0] == batch.context_y[:, 1]).any()


# Bad input


@pytest.mark.parametrize("name", ["n_points", "n_features", "n_classes"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "3", math.nan, np.float64(3), torch.tensor(3)], ids=repr)
def test_counts_of_a_task(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*whole number"):
        LinearTask(**{name: value})


def test_numbers_may_be_numpys():
    task = LinearTask(np.int64(4), np.int32(3), np.uint8(2), np.float32(0.25), np.float64(1.0), 0)
    assert task == LinearTask(4, 3, 2, 0.25, 1.0) and json.dumps(dataclasses.asdict(task))
    assert MixedTask((np.int64(3), np.int64(9))).n_points == (3, 9)
    assert torch.equal(task.sample(np.int64(2), seed=np.int64(5)).x, task.sample(2, seed=5).x)


def test_a_batch_says_what_it_is_in_one_line():
    batch = LinearTask(noise=0.1).sample(256, n_queries=2)
    assert repr(batch) == "Batch(256 tasks, n=40, q=2, d=5, K=3, noise=0.1)"


def test_one_class_is_no_task():
    with pytest.raises(ValueError, match=r"n_classes=1; .*at least 2"):
        LinearTask(n_classes=1)


@pytest.mark.parametrize("name", ["noise", "unlabelled"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, math.nan, math.inf, "0.1", None, True, torch.tensor(0.1)], ids=repr)
def test_fractions_of_a_task(name, value):
    with pytest.raises(ValueError, match=rf"{name}=.*\[0, 1\)"):
        LinearTask(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True], ids=repr)
def test_shift_of_a_task(value):
    with pytest.raises(ValueError, match=r"shift=.*finite"):
        LinearTask(shift=value)


def test_the_default_dtype_is_torchs(monkeypatch):
    single = LinearTask().sample(5)
    assert single.x.dtype == torch.float32
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)
    double = LinearTask().sample(5)
    assert double.x.dtype == double.w.dtype == torch.float64 and torch.equal(double.x.float(), single.x)
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float16)
    with pytest.raises(ValueError, match=r"dtype=torch.float16"):
        LinearTask().sample(5)


def test_a_shift_that_the_dtype_cannot_hold():
    with pytest.raises(ValueError, match="x holds NaN or infinity"):
        LinearTask(shift=1e300).sample(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_tasks": 0}, "n_tasks=0"),
        ({"n_tasks": -3}, "n_tasks=-3"),
        ({"n_tasks": 2.5}, "n_tasks=2.5"),
        ({"n_tasks": True}, "n_tasks=True"),
        ({"n_queries": 0}, "n_queries=0"),
        ({"n_queries": True}, "n_queries=True"),
        ({"seed": -1}, "seed=-1; .*from 0 to"),
        ({"seed": 2**31}, "seed=2147483648; .*from 0 to"),
        ({"seed": 2**64}, "seed=.*from 0 to"),
        ({"seed": 1.0}, r"seed=1\.0; .*whole number"),
        ({"seed": True}, "seed=True"),
        ({"seed": None}, "seed=None"),
        ({"seed": "0"}, "seed='0'"),
        ({"seed": torch.tensor(0)}, "seed=tensor"),
        ({"dtype": torch.float16}, "dtype=torch.float16; .*torch.float32 or torch.float64"),
        ({"dtype": torch.int64}, "dtype=torch.int64"),
        ({"dtype": "float32"}, "dtype='float32'"),
        ({"dtype": np.float32}, "dtype=<class 'numpy.float32'>"),
        ({"device": "nowhere"}, "device='nowhere' cannot be used here; .*'cpu'"),
        ({"device": "meta"}, "device='meta'"),
        ({"device": "cuda:99"}, "device='cuda:99'"),
        ({"device": 1.5}, "device=1.5"),
    ],
    ids=str,
)
def test_sampling_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        LinearTask().sample(**({"n_tasks": 2} | options))


X, Y = torch.zeros(2, 5, 3), torch.zeros(2, 5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": X.numpy()}, "x is a ndarray; it must be a torch.Tensor"),
        ({"x": X.tolist()}, "x is a list"),
        ({"x": None}, "x is a NoneType"),
        ({"x": X.half()}, "x is torch.float16; it must be torch.float32 or torch.float64"),
        ({"x": X.long()}, "x is torch.int64"),
        ({"x": X.to(torch.complex64)}, "x is torch.complex64"),
        ({"x": X.to_sparse()}, "x is sparse"),
        ({"x": X.to("meta")}, "x is .*meta"),
        ({"x": X[0]}, r"x has shape \(5, 3\)"),
        ({"x": X[None]}, r"x has shape \(1, 2, 5, 3\)"),
        ({"x": X[:1]}, "x holds 1 tasks and y 2"),
        ({"x": X[:, :4]}, r"y has shape \(2, 5\); with x \(2, 4, 3\) it must be \(2, 4\)"),
        ({"x": X[:, :, :0]}, "a feature at least"),
        ({"x": X[:0], "y": Y[:0]}, "needs a task"),
        ({"x": X[:, :1], "y": Y[:, :1]}, "n_queries=1 of 1 points leaves no context"),
        ({"x": X + math.nan}, "x holds NaN"),
        ({"x": X - math.inf}, "x holds NaN or infinity"),
        ({"y": Y.numpy()}, "y is a ndarray"),
        ({"y": Y.tolist()}, "y is a list"),
        ({"y": Y.int()}, "y is torch.int32; it must be torch.int64"),
        ({"y": Y.float()}, "y is torch.float32"),
        ({"y": Y.bool()}, "y is torch.bool"),
        ({"y": Y[0]}, r"y \(5,\)"),
        ({"y": Y[:, :4]}, r"y has shape \(2, 4\); with x \(2, 5, 3\) it must be \(2, 5\)"),
        ({"y": Y + 2}, r"labels run from 2 to 2; they must lie in 0\.\.1"),
        ({"y": Y - 2}, "labels run from -2"),
        ({"y": torch.tensor([[-1, -1, -1, -1, 0]] * 2)}, "no labelled point"),
        ({"y": torch.tensor([[0, 0, 0, 0, -1]] * 2)}, r"labels of the queries must lie in 0\.\.1"),
        ({"y": torch.tensor([[0, 0, 0, 0, 2]] * 2)}, "labels of the queries"),
        ({"w": torch.zeros(2, 3, 2)}, r"w has shape \(2, 3, 2\); it must be \(B, K, d\) = \(2, 2, 3\)"),
        ({"w": np.zeros((2, 2, 3))}, "w is a ndarray"),
        ({"w": torch.zeros(2, 2, 3) / 0}, "w holds NaN"),
        ({"w": torch.zeros(2, 2, 3).int()}, "w is torch.int32"),
        ({"n_classes": 1}, "n_classes=1; .*at least 2"),
        ({"n_classes": 2.0}, "n_classes=2.0"),
        ({"n_queries": 0}, "n_queries=0"),
        ({"n_queries": 5}, "leaves no context"),
        ({"n_queries": -1}, "n_queries=-1"),
        ({"n_queries": True}, "n_queries=True"),
        ({"noise": -0.1}, "noise=-0.1"),
        ({"noise": 1.0}, "noise=1.0"),
        ({"noise": None}, "noise=None"),
    ],
    ids=lambda value: str(list(value)) if isinstance(value, dict) else value[:40],
)
def test_a_batch_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        Batch(**({"x": X, "y": Y, "w": None, "n_classes": 2} | fields))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": torch.float16}, "dtype=torch.float16"),
        ({"dtype": "double"}, "dtype='double'"),
        ({"device": "nowhere"}, "device='nowhere'"),
        ({"device": "cuda:99"}, "device='cuda:99'"),
    ],
    ids=str,
)
def test_moving_a_batch_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        LinearTask().sample(2).to(**options)


# Tasks of many sizes


def test_mixed_sizes_reach_both_ends_and_stay_between():
    task, generator = MixedTask((3, 6), (1, 3), (2, 4)), torch.Generator().manual_seed(0)
    batches = [task.sample(1, seed=generator) for _ in range(300)]
    sizes = {(b.context_y.shape[1], b.x.shape[2], b.n_classes) for b in batches}
    assert {n for n, _, _ in sizes} == {3, 4, 5, 6}
    assert {d for _, d, _ in sizes} == {1, 2, 3} and {k for _, _, k in sizes} == {2, 3, 4}


def test_mixed_features_have_the_variance_of_their_scale():
    task = MixedTask((40, 40), (20, 20), (2, 2), correlation=0.9)
    x = task.sample(500, dtype=torch.float64).x / feature_scale(20)
    assert x.mean().abs() < 0.01 and abs(x.var() - 1) < 0.02  # 4e5 draws that share factors within tasks of 41
    within = torch.stack([torch.corrcoef(points.T).fill_diagonal_(0).abs().max() for points in x])
    free = replace(task, correlation=0.0).sample(500, dtype=torch.float64).x
    assert within.mean() > 0.6 > torch.stack([torch.corrcoef(p.T).fill_diagonal_(0).abs().max() for p in free]).mean()


def test_mixed_labels_are_linear_and_a_bias_unbalances_them():
    plain, offset = (MixedTask((60, 60), (4, 4), (3, 3), bias=bias).sample(400, n_queries=1) for bias in (0.0, 1.0))
    shares = [torch.nn.functional.one_hot(b.y, 3).double().mean(1).amax(-1).mean() for b in (plain, offset)]
    assert shares[0] < 0.55 < 0.6 < shares[1]
    assert plain.w is None and offset.w is None


def test_a_seed_fixes_mixed_tasks():
    ours, again, other = (MixedTask(bias=0.3, correlation=0.5).sample(3, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(ours.x, again.x) and torch.equal(ours.y, again.y)
    assert ours.x.shape != other.x.shape or not torch.equal(ours.x, other.x)


@pytest.mark.parametrize(
    "options",
    [
        {"n_points": (0, 3)},
        {"n_points": (4, 3)},
        {"n_features": (1.0, 3)},
        {"n_classes": (1, 3)},
        {"correlation": 1.0},
        {"correlation": math.nan},
        {"bias": -1.0},
        {"bias": math.inf},
    ],
    ids=str,
)
def test_a_mixed_task_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MixedTask(**options)


def test_feature_scale_refuses():
    with pytest.raises(ValueError, match="n_features"):
        feature_scale(0)
