"""Scores and comparisons against direct computation, and standard errors against simulation.

A simulation states its budget; its own error sets how close it must come.
"""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_nb.evaluation.baselines import BASELINES, baseline_predict, logistic_predict
from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import (
    LEAST_PROBABILITY,
    Report,
    compare,
    difference,
    evaluate,
    mean_agreement,
    predict,
    score,
)
from icl_nb.evaluation.scores import mean_and_error as mean_and_its_error
from icl_nb.evaluation.survey import yardsticks
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask, MixedTask


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draw(n_tasks=6, n_queries=4, seed=0, **task):
    return LinearTask(**task).sample(n_tasks, seed=seed, n_queries=n_queries)


def mean_and_error(values):
    """Over tasks, each the mean of its queries."""
    tasks = np.array([np.mean(task) for task in values])
    return tasks.mean(), math.sqrt(((tasks - tasks.mean()) ** 2).sum() / (len(tasks) - 1) / len(tasks))


# Scores


@given(b=st.integers(2, 6), q=st.integers(1, 4), k=st.integers(2, 5), seed=st.integers(0, 2**31 - 1))
def test_score_against_loops(b, q, k, seed):
    batch, logits = draw(b, q, seed, n_points=2, n_classes=k), 3 * normal(b, q, k, seed=seed)
    right, loss = [], []
    for task in range(b):
        right.append([]), loss.append([])
        for query in range(q):
            row, answer = logits[task, query].tolist(), batch.query_y[task, query].item()
            right[-1].append(float(row.index(max(row)) == answer))
            loss[-1].append(math.log(sum(math.exp(value) for value in row)) - row[answer])
    expected = Report(*mean_and_error(right), *mean_and_error(loss), b, q)
    assert list(asdict(score(logits, batch)).values()) == pytest.approx(list(asdict(expected).values()), abs=1e-12)


def test_log_probabilities_score_as_the_logits_they_come_from():
    batch, logits = draw(), 3 * normal(6, 4, 3)
    ours, theirs = score(logits, batch), score(logits.log_softmax(-1), batch)
    assert list(asdict(ours).values()) == pytest.approx(list(asdict(theirs).values()), rel=1e-12)


def test_one_query_may_drop_its_dimension():
    batch, logits = draw(6, 1), normal(6, 3)
    assert score(logits, batch) == score(logits[:, None], batch)


def test_one_task_is_not_taken_for_one_query():
    batch = draw(3, 3, n_classes=3)
    with pytest.raises(ValueError, match=r"shape \(3, 3\); for this batch they must be \(3, 3, 3\)"):
        score(normal(3, 3), batch)


def test_scores_of_known_predictors():
    batch = draw(500, 4, n_classes=4)
    uniform = score(torch.zeros(500, 4, 4), batch)
    assert uniform.cross_entropy == pytest.approx(math.log(4)) and uniform.cross_entropy_se == pytest.approx(0)
    truth = torch.nn.functional.one_hot(batch.query_y, 4).double()
    perfect, wrong = score(1000 * truth, batch), score(-1000 * truth, batch)
    assert (perfect.accuracy, perfect.cross_entropy) == (1, 0)
    assert wrong.accuracy == 0 and wrong.cross_entropy == pytest.approx(1000 + math.log(3))


def test_precision_and_gradients_of_the_logits_do_not_matter():
    batch, logits = draw(), normal(6, 4, 3).float()
    expected = score(logits.double(), batch)
    for given_logits in (logits, logits.clone().requires_grad_()):
        assert list(asdict(score(given_logits, batch)).values()) == pytest.approx(list(asdict(expected).values()))
    assert compare(logits, logits, batch).agreement == 1


def test_a_report_reads_well():
    assert str(Report(0.9, 0.001, 0.25, 0.02, 10, 5)) == "accuracy 0.9000 ± 0.0010, cross-entropy 0.2500 ± 0.0200"


def test_standard_errors_know_which_queries_share_a_context():
    """400 replicates of 50 tasks x 8 queries whose answers hang together: the spread of the scores is the error stated,
    within 4 of its own standard errors, and the error of 400 independent queries would be far too small."""
    generator = torch.Generator().manual_seed(0)
    batch = LinearTask(1, 1, 2).sample(50, n_queries=8)
    truth = torch.nn.functional.one_hot(batch.query_y, 2).double()
    reports = []
    for _ in range(400):
        skill = torch.randn(50, 1, 1, dtype=torch.float64, generator=generator) + 0.5  # one a task
        noise = 0.3 * torch.randn(50, 8, 1, dtype=torch.float64, generator=generator)
        reports.append(score((skill + noise) * truth, batch))
    for name in ("accuracy", "cross_entropy"):
        values = np.array([getattr(report, name) for report in reports])
        stated = math.sqrt(np.mean([getattr(report, f"{name}_se") ** 2 for report in reports]))
        assert abs(values.std() / stated - 1) < 4 / math.sqrt(2 * 400)
    accuracy = np.mean([report.accuracy for report in reports])
    independent = math.sqrt(accuracy * (1 - accuracy) / 400)
    assert np.mean([report.accuracy_se for report in reports]) > 2 * independent


# Comparisons


@given(b=st.integers(2, 6), q=st.integers(1, 4), seed=st.integers(0, 2**31 - 1))
def test_difference_is_paired(b, q, seed):
    batch = draw(b, q, seed, n_points=2)
    ours, theirs = (3 * normal(b, q, 3, seed=seed + number) for number in range(2))
    found, opposite = difference(ours, theirs, batch), difference(theirs, ours, batch)
    rows = np.zeros((b, 2))
    for task in range(b):
        for sign, logits in ((1, ours), (-1, theirs)):
            p = logits[task].softmax(-1).numpy()[range(q), batch.query_y[task]]
            right = logits[task].argmax(-1) == batch.query_y[task]
            rows[task] += sign * np.array([right.double().mean(), -np.log(p).mean()])
    errors = rows.std(0, ddof=1) / math.sqrt(b)
    assert [found.accuracy, found.cross_entropy] == pytest.approx(rows.mean(0), abs=1e-12)
    assert [found.accuracy_se, found.cross_entropy_se] == pytest.approx(errors, abs=1e-12)
    assert (found.n_tasks, found.n_queries) == (b, q)
    assert opposite.accuracy == pytest.approx(-found.accuracy) and opposite.accuracy_se == found.accuracy_se
    assert difference(ours, ours + 1, batch).cross_entropy_se == pytest.approx(0, abs=1e-12)


def test_pairing_pays_where_tasks_are_hard_for_both():
    batch = draw(400, 4)
    theirs = torch.nn.functional.one_hot(batch.query_y, 3) + normal(400, 1, 1) * normal(400, 4, 3, seed=1)
    ours = theirs + 0.1 * normal(400, 4, 3, seed=2)
    assert difference(ours, theirs, batch).accuracy_se < 0.5 * score(ours, batch).accuracy_se


@given(b=st.integers(2, 5), q=st.integers(1, 4), k=st.integers(2, 4), seed=st.integers(0, 2**31 - 1))
def test_compare_against_numpy(b, q, k, seed):
    batch = draw(b, q, seed, n_points=2, n_classes=k)
    ours, theirs = normal(b, q, k, seed=seed), normal(b, q, k, seed=seed + 1)
    a, c = ours.numpy(), theirs.numpy()
    agreement, error = mean_and_error(a.argmax(-1) == c.argmax(-1))
    p, r = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True) for logits in (a, c))
    a, c = (logits - logits.mean(-1, keepdims=True) for logits in (a, c))
    expected = (
        agreement,
        error,
        np.corrcoef(a.ravel(), c.ravel())[0, 1],
        np.abs(p - r).sum(-1).mean() / 2,
        np.abs(a - c).max(),
    )
    assert list(asdict(compare(ours, theirs, batch)).values()) == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**31 - 1))
def test_a_constant_on_all_logits_of_a_query_is_no_difference(seed):
    batch, logits = draw(), normal(6, 4, 3, seed=seed)
    result = compare(logits, logits + normal(6, 4, 1, seed=seed + 1), batch)
    assert (result.agreement, result.agreement_se) == (1, 0)
    assert result.correlation == pytest.approx(1) and result.divergence < 1e-12 and result.max_difference < 1e-12


def test_opposites():
    batch, logits = draw(6, 4, n_classes=2), 50 * normal(6, 4, 2).sign() * torch.tensor([1.0, 0])
    result = compare(logits, -logits, batch)
    assert result.agreement == 0 and result.correlation == pytest.approx(-1) and result.divergence == pytest.approx(1)
    assert result.max_difference == 50


def test_a_predictor_that_says_nothing_correlates_with_nothing():
    batch, logits = draw(), normal(6, 4, 3)
    assert compare(torch.zeros(6, 4, 3), logits, batch).correlation == 0
    assert compare(logits, torch.ones(6, 4, 3), batch).correlation == 0


# Agreement of families


def slow_mean_agreement(ours, theirs=None):
    """The jackknife: all pairs, then all pairs without each model in turn."""
    within = theirs is None
    theirs = ours if within else theirs

    def mean(left_out, from_theirs):
        pairs = [
            np.mean(ours[s] == theirs[t])
            for s in range(len(ours))
            for t in range(len(theirs))
            if not (within and s == t)
            and not (s == left_out and (within or not from_theirs))
            and not (t == left_out and (within or from_theirs))
        ]
        return np.mean(pairs)

    variance = 0
    for from_theirs in [False] if within else [False, True]:
        means = [mean(left_out, from_theirs) for left_out in range(len(theirs if from_theirs else ours))]
        variance += (len(means) - 1) / len(means) * sum((value - np.mean(means)) ** 2 for value in means)
    return mean(None, False), math.sqrt(variance)


# Two-sided 95 % points of Student's t by degrees of freedom, from a table
STUDENT = {2: 4.302653, 3: 3.182446, 4: 2.776445}


@given(s=st.integers(3, 5), t=st.integers(3, 5), within=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_mean_agreement_against_loops(s, t, within, seed):
    generator = torch.Generator().manual_seed(seed)
    ours = torch.randint(3, (s, 4, 5), generator=generator)
    theirs = None if within else torch.randint(3, (t, 4, 5), generator=generator)
    mean, error = slow_mean_agreement(ours.numpy(), None if within else theirs.numpy())
    half = error * STUDENT[(s if within else min(s, t)) - 1]
    assert mean_agreement(ours, theirs) == pytest.approx((mean, half), abs=1e-6)


@pytest.mark.parametrize("within", [True, False])
def test_the_interval_of_mean_agreement_covers(within):
    """300 families of five models that differ in how good they are, 400 queries: the interval holds the agreement of
    the whole population 95 times in 100, less or more 4 x 1.3 (and may hold it more often)."""
    generator = torch.Generator().manual_seed(0)

    def family():
        skill = 0.6 + 0.3 * torch.rand(5, 1, dtype=torch.float64, generator=generator)
        right = torch.rand(5, 400, dtype=torch.float64, generator=generator) < skill
        return torch.where(right, 0, torch.randint(1, 3, (5, 400), generator=generator))

    truth = 0.75**2 + 0.25**2 / 2  # both right, or both wrong in the same way; skills are independent
    covered = 0
    for _ in range(300):
        mean, half = mean_agreement(family(), None if within else family())
        covered += abs(mean - truth) <= half
    assert covered / 300 > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 300)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (torch.zeros(2, 5), None),
        (torch.zeros(3, 5), torch.zeros(2, 5)),
        (torch.zeros(3, 5), torch.zeros(3, 4)),
    ],
    ids=["two models", "two of the others", "other queries"],
)
def test_mean_agreement_refuses(ours, theirs):
    with pytest.raises(ValueError, match="3 models each"):
        mean_agreement(ours, theirs)


# Prediction and evaluation


def test_predict_is_the_model_in_pieces(dtype):
    batch = draw(7, 2)
    for q, model in [(2, EquivariantTransformer(depth=2)), (1, DenseTransformer(depth=2))]:
        batch = draw(7, q)
        model = model.to(dtype)
        logits = predict(model, batch, batch_size=3)
        assert logits.shape == (7, q, 3) and logits.dtype == torch.float64 and not logits.requires_grad
        with torch.no_grad():
            whole = model(batch.x.to(dtype), batch.context_y).reshape(7, q, 3).double()
        assert torch.allclose(logits, whole, rtol=1e-5, atol=1e-6)
        assert torch.allclose(predict(model, batch, batch_size=100), whole, rtol=1e-5, atol=1e-6)


def test_any_function_can_be_evaluated():
    """A predictor need not be a model: the nearest context point."""

    def nearest(x, y):
        n = y.shape[1]
        return torch.nn.functional.one_hot(y.gather(1, torch.cdist(x[:, n:], x[:, :n]).argmin(-1)), 3).double()

    task = LinearTask(n_points=200, n_features=2)
    report = evaluate(nearest, task, n_tasks=50)
    assert evaluate(lambda x, y: nearest(x, y).numpy(), task, n_tasks=50) == report
    assert report.accuracy > 0.9 and (report.n_tasks, report.n_queries) == (50, 16)


def test_no_predictor_reads_the_answers():
    batch = draw(5, 3)
    other = Batch(batch.x, torch.cat([batch.context_y, 2 - batch.query_y], 1), None, 3, 3)
    for model in (EquivariantTransformer(), DenseTransformer()):
        assert torch.equal(predict(model, batch), predict(model, other))


def test_evaluation_is_a_score_on_the_tasks_of_its_seed():
    task, model = LinearTask(), EquivariantTransformer(depth=2)
    batch = task.sample(30, seed=5, n_queries=3)
    report, other = (evaluate(model, task, n_tasks=30, seed=seed, n_queries=3) for seed in (5, 6))
    assert report == score(predict(model, batch), batch) and report != other


def test_yardsticks_are_what_oracle_and_baselines_say():
    batch = draw(20, 3, n_points=8, n_features=2)
    logits = yardsticks(batch)
    assert list(logits) == ["bayes", *BASELINES]
    predictions = {"bayes": bayes_predict(batch)} | {name: baseline_predict(batch, name) for name in BASELINES}
    predictions["logistic"] = logistic_predict(batch)
    for name, probabilities in predictions.items():
        assert torch.equal(logits[name], probabilities.clamp(min=LEAST_PROBABILITY).log())
        assert all(math.isfinite(value) for value in asdict(score(logits[name], batch)).values())
    with pytest.raises(ValueError, match="'oracle'"):
        yardsticks(batch, ("oracle",))


# Bad input

LOGITS = torch.zeros(6, 4, 3)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (LOGITS[:5], r"shape \(5, 4, 3\); for this batch they must be \(6, 4, 3\)"),
        (LOGITS[..., :2], r"shape \(6, 4, 2\)"),
        (LOGITS[:, 0], r"shape \(6, 3\)"),
        (LOGITS[None], r"shape \(1, 6, 4, 3\)"),
        (LOGITS + math.nan, "a logit is NaN or infinite"),
        (LOGITS + math.inf, "a logit is NaN or infinite"),
        (LOGITS.log(), "keep probabilities away from 0"),
        (LOGITS.long(), "logits is torch.int64"),
        (LOGITS.half(), "logits is torch.float16"),
        (LOGITS.numpy(), "logits is a ndarray"),
        (None, "logits is a NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_logits_refused(logits, message):
    batch = draw()
    for call in (
        lambda: score(logits, batch),
        lambda: difference(logits, LOGITS, batch),
        lambda: difference(LOGITS, logits, batch),
        lambda: compare(logits, LOGITS, batch),
        lambda: compare(LOGITS, logits, batch),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("logits", [None, [[0.0] * 3] * 6, LOGITS + math.nan, LOGITS[:5], np.zeros((6, 3))])
def test_predictions_refused(logits):
    with pytest.raises(ValueError, match=r"logits? "):
        predict(lambda x, y: logits, draw())


def test_one_task_has_no_standard_error():
    batch = draw(1)
    for call in (lambda: score(LOGITS[:1], batch), lambda: compare(LOGITS[:1], LOGITS[:1], batch)):
        with pytest.raises(ValueError, match="at least 2"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_tasks": 1}, "n_tasks=1; .*at least 2"),
        ({"n_tasks": 0}, "n_tasks=0"),
        ({"n_tasks": 10.0}, "n_tasks=10.0"),
        ({"n_tasks": True}, "n_tasks=True"),
        ({"n_queries": 0}, "n_queries=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        (
            {"model": DenseTransformer(depth=1), "task": LinearTask(n_features=4)},
            "the task has d=4, K=3; the model reads d=5, K=3",
        ),
        ({"model": DenseTransformer(depth=1), "task": LinearTask(n_classes=4)}, "the task has d=5, K=4"),
        ({"model": EquivariantTransformer(depth=1).half()}, "torch.float16"),
    ],
    ids=str,
)
def test_evaluation_refuses(options, message):
    arguments = {"model": EquivariantTransformer(depth=1), "task": LinearTask(), "n_tasks": 10} | options
    with pytest.raises(ValueError, match=message):
        evaluate(arguments.pop("model"), arguments.pop("task"), **arguments)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True], ids=repr)
def test_predict_refuses(batch_size):
    with pytest.raises(ValueError, match=r"batch_size=.*at least 1"):
        predict(EquivariantTransformer(depth=1), draw(), batch_size=batch_size)


def test_a_model_is_evaluated_at_the_size_of_the_task_or_refused():
    mixed = MixedTask((3, 9), (2, 2), (4, 4))
    assert 0 < evaluate(EquivariantTransformer(depth=1), mixed, n_tasks=5).accuracy < 1
    with pytest.raises(ValueError, match="fit one size alone"):
        evaluate(DenseTransformer(depth=1), mixed, n_tasks=5)


def test_a_measured_number_prints_with_its_error():
    found = mean_and_its_error(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert found == pytest.approx((0.25, 0.0645497))
    assert f"{found:.3f}" == "0.250 (0.065)"
    assert f"{found:+.2f}" == "+0.25 (0.06)"
    assert f"{found:8.1%}" == "   25.0% (6.5%)"
