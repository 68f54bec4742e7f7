"""Counts against loops, and paired differences against those of the tasks one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_nb.evaluation import baselines
from icl_nb.evaluation.baselines import baseline_predict
from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import hits, mean_and_error, model_hits, score
from icl_nb.evaluation.survey import Survey, survey
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.tasks.linear import LinearTask

quick = settings(max_examples=25, deadline=None)
shares = st.lists(st.integers(0, 20), min_size=2, max_size=30).map(lambda hits: torch.tensor(hits).double() / 20)


def draw(n_tasks=12, n_queries=5, seed=0, **task):
    return LinearTask(**task).sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


@quick
@given(seed=st.integers(0, 2**31 - 1), n_queries=st.integers(1, 4))
def test_hits_are_counted(seed, n_queries):
    batch = draw(3, n_queries, seed)
    scores = torch.randn(3, n_queries, 3, generator=torch.Generator().manual_seed(seed))
    expected = [
        sum(max(range(3), key=row.__getitem__) == y for row, y in zip(rows, answers, strict=True)) / n_queries
        for rows, answers in zip(scores.tolist(), batch.query_y.tolist(), strict=True)
    ]
    assert hits(scores, batch).tolist() == pytest.approx(expected, abs=1e-15)
    assert hits(scores, batch).mean() == pytest.approx(score(scores, batch).accuracy, abs=1e-15)
    if n_queries == 1:
        assert torch.equal(hits(scores[:, 0], batch), hits(scores, batch))


def test_tied_classes_share_a_hit():
    batch = draw(1, 3, seed=1)
    right = torch.nn.functional.one_hot(batch.query_y, 3).double()
    wrong = right.roll(1, -1)
    noise = 1 + 1e-15 * torch.randn(right.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert hits(right * noise, batch).item() == 1 and hits(wrong, batch).item() == 0
    assert hits((right + wrong) * noise, batch).item() == pytest.approx(1 / 2)
    assert hits(noise, batch).item() == pytest.approx(1 / 3)
    assert hits(torch.zeros(1, 3, 3), batch).item() == pytest.approx(1 / 3)
    assert hits(right + 0.999999 * wrong, batch).item() == 1  # near is no tie
    assert hits((right + wrong).long(), batch).item() == pytest.approx(1 / 2)
    assert hits(right.log(), batch).item() == 1  # -inf elsewhere


@quick
@given(values=shares)
def test_mean_and_error_are_those_of_the_formula(values):
    mean, error = mean_and_error(values)
    n, numbers = len(values), values.tolist()
    assert mean == pytest.approx(sum(numbers) / n, abs=1e-14)
    assert error == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in numbers) / (n * (n - 1))), abs=1e-12)


def test_models_of_another_size_are_resized():
    model, batch = EquivariantTransformer(n_features=5), draw(n_features=3)
    assert torch.equal(model_hits(model, batch), model_hits(model.resized(3, 3), batch))
    same = draw()
    assert torch.equal(model_hits(model, same), hits(model(same.x.float(), same.context_y), same))
    assert torch.equal(model_hits(DenseTransformer(), same), model_hits(DenseTransformer(), same))


def two_surveys(seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"a": 40, "b": 40, "slow": 10}
    plain, here = ({name: torch.from_numpy(rng.random(n)) for name, n in sizes.items()} for _ in range(2))
    return Survey(plain, 1.0), Survey(here | {"slow": here["slow"][:6]}, 1.0)


def test_losses_are_paired():
    plain, here = two_surveys()
    for name, n in (("a", 40), ("slow", 6)):
        assert here.lost(plain, name) == mean_and_error(plain.hits[name][:n] - here.hits[name][:n])
    gap, error = here.excess(plain, "a", "b")
    assert gap == pytest.approx(here.lost(plain, "a")[0] - here.lost(plain, "b")[0], abs=1e-14)
    per_task = [(plain.hits["a"][t] - here.hits["a"][t]) - (plain.hits["b"][t] - here.hits["b"][t]) for t in range(40)]
    assert error == pytest.approx(np.std(per_task, ddof=1) / 40**0.5, rel=1e-12)
    assert here.excess(plain, "b", "a")[0] == -gap and here.excess(plain, "a", "a") == (0.0, 0.0)
    assert here.excess(plain, "a", "slow") == mean_and_error(
        plain.hits["a"][:6] - here.hits["a"][:6] - plain.hits["slow"][:6] + here.hits["slow"][:6]
    )


def test_a_lead_is_over_common_tasks():
    plain, _ = two_surveys()
    assert plain.lead("a", "b") == mean_and_error(plain.hits["a"] - plain.hits["b"])
    lead, error = plain.lead("slow", "a")
    assert (lead, error) == mean_and_error(plain.hits["slow"] - plain.hits["a"][:10])
    assert plain.lead("a", "slow") == (-lead, error)


def test_what_all_share_is_no_difference():
    """Hard tasks that hit both methods alike: the unpaired error sees their spread, the paired one does not."""
    rng = np.random.default_rng(1)
    hit = torch.from_numpy(rng.random(50))
    plain = Survey({"a": torch.ones(50).double(), "b": torch.ones(50).double()}, 1.0)
    here = Survey({"a": 0.9 - hit, "b": 1.0 - hit}, 1.0)
    gap, error = here.excess(plain, "a", "b")
    assert gap == pytest.approx(0.1) and error < 1e-12
    unpaired = math.hypot(here.lost(plain, "a")[1], here.lost(plain, "b")[1])
    assert unpaired > 0.03


def test_survey_asks_everybody_about_the_same_tasks():
    batch = draw(12)
    models = {"one": EquivariantTransformer(), "two": EquivariantTransformer(seed=1)}
    options = {"sweeps": 60, "burn_in": 20}
    found = survey(batch, models, n_knn=3, n_bayes=2, **options)
    assert list(found.hits) == ["one", "two", "logistic", "lda", "centroid", "knn", "bayes"]
    assert [len(values) for values in found.hits.values()] == [12, 12, 12, 12, 12, 3, 2]
    assert torch.equal(found.hits["two"], model_hits(models["two"], batch))
    C, probs = baselines.best_logistic(batch)
    assert found.penalty == C and torch.equal(found.hits["logistic"], hits(probs, batch))
    for name in ("lda", "centroid"):
        assert torch.equal(found.hits[name], hits(baseline_predict(batch, name), batch))
    assert torch.equal(found.hits["knn"], hits(baseline_predict(batch[:3], "knn"), batch[:3]))
    assert torch.equal(found.hits["bayes"], hits(bayes_predict(batch[:2], **options), batch[:2]))
    assert found.accuracy("lda") == mean_and_error(found.hits["lda"])
    assert "bayes" not in survey(batch, {}).hits


def test_shuffled_labels_cost_everybody():
    batch = draw(30, 10)
    shuffled = replace(batch, y=torch.cat([batch.context_y.roll(1, 0), batch.query_y], 1))  # of the neighbour task
    plain, here = survey(batch, {}), survey(shuffled, {})
    for name in ("logistic", "lda", "centroid"):
        loss, error = here.lost(plain, name)
        assert loss > 0.3 and loss > 8 * error
        assert here.excess(plain, name, name) == (0.0, 0.0)


BATCH = draw(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hits(torch.zeros(4, 3), BATCH), "shape"),
        (lambda: hits(torch.zeros(4, 5, 2), BATCH), "shape"),
        (lambda: hits(torch.full((4, 5, 3), math.nan), BATCH), "NaN"),
        (lambda: mean_and_error(torch.ones(1)), "at least 2"),
        (lambda: mean_and_error(torch.ones(2, 2)), "at least 2"),
        (lambda: survey(BATCH, {}, n_knn=1), "n_knn"),
        (lambda: survey(BATCH, {}, n_bayes=-1), "n_bayes"),
        (lambda: survey(BATCH, {}, n_bayes=1), "n_bayes"),
        (lambda: survey(BATCH, {}, sweeps=100), "n_bayes"),
        (lambda: survey(BATCH, {"lda": EquivariantTransformer()}), "names of their own"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
