"""The estimator against the recursion it wraps, mirror images written out, and scikit-learn's own checks."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from icl_nb import classifier as module
from icl_nb.classifier import DEFAULT, PARTNER, SHORT, FallbackWarning, RecursionClassifier
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.tasks.linear import LinearTask, feature_scale

EXACT = 1e-12
PLAIN = {"standardize": False, "whiten": 0, "intercept": False, "calibrate": 0}
pytestmark = pytest.mark.filterwarnings("ignore::icl_nb.classifier.FallbackWarning")  # asked for where it matters


def random_recursion(seed=0, depth=3, heads=2, copies=1):
    rng = np.random.default_rng(seed)
    shape = (4, depth, heads) if copies == 1 else (4, depth, heads, copies, copies)
    scale = 2.0 if copies == 1 else rng.normal(size=copies)
    return Recursion(dict(zip(SCALARS, 0.4 * rng.normal(size=shape), strict=True)), scale=scale)


def random_table(seed, n, d, K):
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(K), rng.integers(0, K, n)]
    return rng.normal(size=(n + K, d)), y, rng.normal(size=(7, d))


cases = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(1, 12),
    "d": st.integers(1, 5),
    "K": st.integers(2, 4),
    "copies": st.integers(1, 2),
    "block_size": st.sampled_from([1, 3, 100]),
}


# scikit-learn's own checks, all of them


@parametrize_with_checks([RecursionClassifier()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# Against the recursion


@settings(max_examples=40)
@given(**cases)
def test_equals_the_recursion(seed, n, d, K, copies, block_size):
    X, y, queries = random_table(seed, n, d, K)
    recursion = replace(random_recursion(seed, copies=copies), n_classes=K)
    ours = RecursionClassifier(recursion, **PLAIN, block_size=block_size).fit(X, y)._logits(queries)
    theirs = recursion(feature_scale(d) * np.r_[X, queries][None], y[None])[0]
    assert np.abs(ours - theirs).max() <= EXACT * max(1, np.abs(theirs).max())


@settings(max_examples=40)
@given(**cases)
def test_mirror_images_are_points_of_the_context(seed, n, d, K, copies, block_size):
    """The intercept, by the recursion itself over a context of 2 n tokens."""
    X, y, queries = random_table(seed, n, d, K)
    recursion = replace(random_recursion(seed, copies=copies), n_classes=K)
    classifier = RecursionClassifier(recursion, **PLAIN | {"intercept": True}, block_size=block_size).fit(X, y)
    lifted = feature_scale(d + 1) * np.c_[np.r_[X, queries], np.ones(len(X) + len(queries))]
    x, u, _ = recursion.embed(lifted[None], y[None])
    x, u = (np.concatenate([z[:, : len(X)], -z[:, : len(X)], z[:, len(X) :]], 1) for z in (x, u))
    for layer in recursion.table:
        x, u, _ = recursion.step(layer, x, u, 2 * len(X))
    theirs = recursion.read_out(u[:, 2 * len(X) :])[0]
    assert np.abs(classifier._logits(queries) - theirs).max() <= EXACT * max(1, np.abs(theirs).max())
    last = classifier.trajectory_
    assert np.abs(last.x[-1] - x[0, : len(X)]).max() <= EXACT * max(1, np.abs(x).max())
    assert np.abs(last.u[-1] - u[0, : len(X)]).max() <= EXACT * max(1, np.abs(u).max())


def test_a_constant_feature_without_mirror_images_does_nothing():
    """Why the intercept needs them: the same number is added to all scores."""
    X, y, queries = random_table(0, 10, 3, 3)
    recursion = random_recursion()
    with_one = np.c_[np.r_[X, queries], np.ones(len(X) + len(queries))]
    plain = recursion(np.r_[X, queries][None], y[None])
    assert np.abs(recursion(with_one[None], y[None]) - plain).max() <= EXACT * np.abs(plain).max()


def test_two_classes_mirrored_are_a_shifted_linear_task():
    """With an intercept, a border away from the origin is found; without one it cannot be."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = (X @ [1.0, 1.0, 0.0] > 1.0).astype(int)
    score = {
        flag: RecursionClassifier("recursion", intercept=flag).fit(X[:200], y[:200]).score(X[200:], y[200:])
        for flag in (True, False)
    }
    assert score[True] > 0.93 > score[False] + 0.02


@settings(max_examples=20)
@given(**cases, mirrored=st.booleans())
def test_contributions_add_up(seed, n, d, K, copies, block_size, mirrored):
    X, y, queries = random_table(seed, n, d, K)
    recursion = random_recursion(seed, copies=copies)
    classifier = RecursionClassifier(recursion, intercept=mirrored, calibrate=2, block_size=block_size).fit(X, y)
    parts, logits = classifier.contributions(queries), classifier._logits(queries)
    assert parts.shape == (len(queries), len(X), K)
    assert np.abs(parts.sum(1) - logits).max() <= EXACT * max(1, np.abs(parts).max() * len(X))


def test_contributions_of_one_layer_are_attention_times_label():
    X, y, queries = random_table(1, 6, 2, 2)
    recursion = Recursion({"alpha": [[0.7]], "beta": 0, "gamma": 0, "delta": 0.5}, 2, scale=3.0)
    parts = RecursionClassifier(recursion, **PLAIN).fit(X, y).contributions(queries)
    c = feature_scale(2)
    A = np.exp(0.7 * c**2 * queries @ X.T)
    A /= A.sum(1, keepdims=True)
    expected = 3.0 * 0.5 * A[:, :, None] * (np.eye(2)[y] - 0.5)
    assert np.abs(parts - expected).max() <= EXACT


# Symmetries of the whole


def test_names_and_order_of_features_change_no_digit():
    """Flipped labels, which make the largest attention; control: another order of the rows does change digits."""
    rng = np.random.default_rng(0)
    X, y = load_wine(return_X_y=True)
    X, test = X[::2], X[1::2]
    y = np.where(rng.random(len(X)) < 0.2, rng.integers(0, 3, len(X)), y[::2])
    probabilities = RecursionClassifier().fit(X, y).predict_proba(test)
    columns, names = rng.permutation(X.shape[1]), np.array([2, 0, 1])
    renamed = RecursionClassifier().fit(X[:, columns], names[y]).predict_proba(test[:, columns])
    assert np.array_equal(renamed[:, names], probabilities)
    rows = rng.permutation(len(X))
    assert not np.array_equal(RecursionClassifier().fit(X[rows], y[rows]).predict_proba(test), probabilities)


def test_order_of_context_and_queries_units_and_names_do_not_matter():
    X, y = load_iris(return_X_y=True)
    X, test, y, _ = train_test_split(X, y, random_state=0, test_size=0.3)
    probabilities = RecursionClassifier().fit(X, y).predict_proba(test)
    order, back = np.random.default_rng(0).permutation(len(X)), np.arange(len(test))[::-1]
    shuffled = RecursionClassifier().fit(X[order], y[order]).predict_proba(test[back])[back]
    units = RecursionClassifier().fit(X * [1e3, 1, 1e-3, 2] + 7, y).predict_proba(test * [1e3, 1, 1e-3, 2] + 7)
    names = np.array(["versicolor", "virginica", "setosa"])[y]
    named = RecursionClassifier().fit(X, names)
    # Folds are read in single precision, so that T and w hold about seven digits.
    assert np.abs(shuffled - probabilities).max() < 1e-5
    assert np.abs(units - probabilities).max() < 1e-5
    assert named.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(named.predict_proba(test)[:, [1, 2, 0]], probabilities)
    assert set(named.predict(test)) <= set(named.classes_)


def test_prepared_points_are_what_the_recursion_gets():
    X, y = load_iris(return_X_y=True)
    for options in ({}, {"whiten": 1}, {"standardize": False}):
        model = RecursionClassifier(calibrate=0, **options).fit(X[::2], y[::2])
        tokens = np.r_[model.prepare(X[::2]), model.prepare(X[1::2])]
        expected = replace(model.recursion_, n_classes=3)(tokens[None], y[None, ::2])[0]
        assert np.abs(model.decision_function(X[1::2]) - expected).max() < 1e-10
    assert RecursionClassifier(intercept=True).fit(X, y).prepare(X[:2]).shape == (2, 5)
    with pytest.raises(ValueError, match="features"):
        model.prepare(X[:, :2])


def test_redundant_columns():
    X, y = load_wine(return_X_y=True)
    constant = np.c_[X, np.full(len(X), 3.0)]
    ours, theirs = (RecursionClassifier().fit(points, y).predict_proba(points) for points in (constant, X))
    assert np.abs(ours - theirs).max() < 1e-9


def test_nothing_varies():
    classifier = RecursionClassifier().fit(np.ones((9, 2)), np.repeat([0, 1, 2], 3))
    assert np.abs(classifier.predict_proba([[1.0, 1.0]]) - 1 / 3).max() < 1e-9


def test_one_class():
    classifier = RecursionClassifier().fit([[1.0], [2.0]], ["a", "a"])
    assert classifier.predict([[5.0]]).tolist() == ["a"] and classifier.predict_proba([[5.0]]).tolist() == [[1.0]]
    assert classifier.decision_function([[5.0]]).shape == (1,)


def test_a_class_of_a_single_point_and_no_folds_to_choose_from():
    classifier = RecursionClassifier().fit([[1.0], [2.0], [3.0]], [0, 1, 2])
    assert classifier.temperature_ == 1.0


def test_binary_decision():
    X, y, queries = random_table(0, 20, 3, 2)
    classifier = RecursionClassifier().fit(X, y)
    decision, probabilities = classifier.decision_function(queries), classifier.predict_proba(queries)
    assert np.abs(np.log(probabilities[:, 1] / probabilities[:, 0]) - decision).max() < 1e-9


# Beside the classical methods


def test_as_good_as_logistic_regression_on_its_own_task():
    batch = LinearTask().sample(60, seed=5, n_queries=20)
    hits = {"ours": [], "logistic": []}
    for x, y in zip(batch.x.double().numpy(), batch.y.numpy(), strict=True):
        ours = RecursionClassifier(intercept=False, whiten=0, calibrate=0)
        for name, model in (("ours", ours), ("logistic", LogisticRegression(fit_intercept=False))):
            hits[name].append(model.fit(x[:40], y[:40]).score(x[40:], y[40:]))
    assert np.mean(hits["ours"]) > np.mean(hits["logistic"]) - 0.03


def test_shuffled_labels_tell_nothing():
    X, y = load_iris(return_X_y=True)
    y = np.random.default_rng(0).permutation(y)
    X, test, y, answers = train_test_split(X, y, random_state=0, test_size=0.5, stratify=y)
    classifier = RecursionClassifier().fit(X, y)
    assert abs(classifier.score(test, answers) - 1 / 3) < 4 * np.sqrt(2 / 9 / len(test))
    assert classifier.temperature_ > 1


def test_the_temperature_mends_a_wrong_scale():
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 3, 300)
    test = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[answers]  # classes overlap, so that confidence has a price
    X, test, y, answers = test[:100], test[100:], answers[:100], answers[100:]
    base = RecursionClassifier().fit(X, y)
    louder = RecursionClassifier(replace(base.recursion_, scale=8 * base.recursion_.scale)).fit(X, y)

    def loss(classifier):
        return -log_softmax(classifier._logits(test), 1)[np.arange(len(test)), answers].mean()

    assert abs(np.log(louder.temperature_ / base.temperature_ / 8)) < 0.5
    assert loss(louder) < loss(louder.set_params(calibrate=0).fit(X, y))


@pytest.mark.parametrize("mix", [True, False])
def test_temperature_and_weight_are_the_best_of_what_they_are_said_to_be_the_best_of(mix):
    """By a grid, of log-likelihood and priors written out; few answers, so that the priors have a say."""
    rng = np.random.default_rng(0)
    logits, answers = 3 * rng.normal(size=(12, 3)), rng.integers(0, 3, 12)
    log_f = np.log(rng.dirichlet(np.ones(3)))[answers]

    def value(log_temperature, w):
        p = np.exp(log_softmax(logits * np.exp(-log_temperature), axis=1)[np.arange(12), answers])
        fit = np.log(w * p + (1 - w) * np.exp(log_f)).sum() - log_temperature**2 / 2
        return fit + 4 * np.log(w) + np.log1p(-w) if mix else fit

    temperature, weight, best = module._choose(logits, answers, log_f, mix)
    assert best == pytest.approx(value(np.log(temperature), weight), abs=1e-6)
    weights = np.linspace(0.01, 0.99, 99) if mix else [1.0]
    grid = max(value(t, w) for t in np.linspace(*module.LOG_TEMPERATURES, 300) for w in weights)
    assert grid - 1e-6 <= best <= grid + 0.01


def test_depth():
    X, y, queries = random_table(0, 10, 3, 3)
    recursion = random_recursion(depth=4)
    short = RecursionClassifier(recursion, depth=2).fit(X, y)
    expected = RecursionClassifier(recursion[:2]).fit(X, y).predict_proba(queries)
    assert np.array_equal(short.predict_proba(queries), expected)
    assert len(short.trajectory_.x) == 3 and short.recursion_.table.shape == (2, 2)


# As a member of scikit-learn


def test_pipeline_search_clone_and_pickle():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), RecursionClassifier(calibrate=0))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.75
    search = GridSearchCV(RecursionClassifier(calibrate=0), {"depth": [1, None], "whiten": [0, 1.0]}, cv=2).fit(X, y)
    assert search.best_params_["depth"] is None
    classifier = RecursionClassifier(random_recursion(), whiten=0).fit(X, y)
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert np.array_equal(clone(classifier).fit(X, y).predict_proba(X), classifier.predict_proba(X))


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True)
    names = ["a", "b", "c", "d"]
    classifier = RecursionClassifier().fit(pandas.DataFrame(X, columns=names), y)
    assert classifier.feature_names_in_.tolist() == names and classifier.n_features_in_ == 4
    plain = RecursionClassifier().fit(X, y).predict_proba(X)
    assert np.abs(classifier.predict_proba(pandas.DataFrame(X, columns=names)) - plain).max() < 1e-9
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(pandas.DataFrame(X, columns=names[::-1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recursion": 3}, "it must be None, the name of a checkpoint, or a Recursion"),
        ({"depth": 0}, "depth=0"),
        ({"whiten": 2}, "whiten=2"),
        ({"whiten": True}, "whiten=True"),
        ({"calibrate": 1}, "calibrate=1"),
        ({"calibrate": -1}, "calibrate=-1"),
        ({"block_size": 0}, "block_size=0"),
        ({"intercept": 1}, "intercept=1"),
        ({"ranks": -0.1}, "ranks=-0.1"),
        ({"tame": None}, "tame=None"),
        ({"safe": 1}, "safe=1"),
        ({"max_context": 0}, "max_context=0"),
        ({"standardize": "yes"}, "standardize='yes'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecursionClassifier(**arguments).fit([[0.0], [1.0]], [0, 1])


def test_bad_data():
    classifier = RecursionClassifier()
    with pytest.raises(NotFittedError):
        classifier.predict([[0.0]])
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        classifier.fit(sparse.csr_matrix(np.eye(3)), [0, 1, 2])
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit([[np.nan], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="features"):
        classifier.fit([[0.0], [1.0]], [0, 1]).predict([[0.0, 1.0]])
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        RecursionClassifier("nothing").fit([[0.0], [1.0]], [0, 1])


def test_a_thousand_points_need_little_memory():
    """Blocks: the largest array is (block, n), never (n, n)."""
    import tracemalloc

    X, y, queries = random_table(0, 2000, 3, 2)
    tracemalloc.start()
    RecursionClassifier(random_recursion(depth=2, heads=1), block_size=50, calibrate=0).fit(X, y).predict(queries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000**2 * 8 / 4


# A floor


def flipped(share, seed=0):
    """Breast cancer, half of the rows as context, a share of their labels flipped: context, labels, the others."""
    rng = np.random.default_rng(seed)
    X, y = load_breast_cancer(return_X_y=True)
    return X[::2], np.where(rng.random(len(X[::2])) < share, 1 - y[::2], y[::2]), X[1::2], y[1::2]


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_flipped_labels_do_not_break_the_default_and_break_the_clean_table(share):
    X, y, test, answers = flipped(share)
    clean = RecursionClassifier("table", tame=False, ranks=0, safe=False).fit(X, y).score(test, answers)
    assert clean < 0.6 < 0.9 < RecursionClassifier().fit(X, y).score(test, answers)


def test_nothing_to_learn_is_said_and_the_frequencies_answer():
    draws = [np.random.default_rng(seed) for seed in range(8)]
    tables = [(rng.normal(size=(120, 6)), (rng.random(120) < 0.3).astype(int)) for rng in draws]
    fell = [RecursionClassifier().fit(X, y).fallback_ for X, y in tables]
    assert sum(fell) >= 4  # chance may look like a nat of knowledge; then the frequencies are mixed in
    X, y = tables[fell.index(True)]
    with pytest.warns(FallbackWarning, match="class frequencies"):
        classifier = RecursionClassifier().fit(X, y)
    assert classifier.fallback_ and classifier.weight_ == 0
    expected = (np.bincount(y) + 1) / 122
    assert np.abs(classifier.predict_proba(X) - expected).max() < 1e-12
    assert set(classifier.predict(X)) == {0} and (classifier.decision_function(X) < 0).all()
    assert classifier.check_["answer"] == pytest.approx(classifier.check_["frequencies"])
    unsafe = RecursionClassifier(safe=False).fit(X, y)
    assert unsafe.weight_ == 1 and not unsafe.fallback_


def test_the_answer_is_a_mixture_of_the_two():
    X, y, test, _ = flipped(0.2)
    model = RecursionClassifier().fit(X, y)
    assert 0 < model.weight_ < 1 and model.check_["answer"] < model.check_["frequencies"]
    of_recursion = np.exp(log_softmax(model._logits(test), 1))
    frequencies = (np.bincount(y) + 1) / (len(y) + 2)
    expected = model.weight_ * of_recursion + (1 - model.weight_) * frequencies
    assert np.abs(model.predict_proba(test) - expected).max() < 1e-12


def test_monotone_units_do_not_matter_to_ranks():
    X = random_table(3, 60, 4, 3)[0]
    y = X[:, :3].argmax(1)
    for ranks in (1, 0):
        one, other = (RecursionClassifier(ranks=ranks).fit(f(X), y) for f in (np.positive, np.exp))
        change = np.abs(one.predict_proba(X) - other.predict_proba(np.exp(X))).max()
        assert change < 1e-5 if ranks else change > 1e-2


def test_rare_values_do_not_break_it():
    """Digits: most pixels are 0 in most images, and a score of a rare value reaches thirty standard deviations."""
    X, y = load_digits(return_X_y=True)
    model = RecursionClassifier().fit(X[::4], y[::4])
    assert model.score(X[1::4], y[1::4]) > 0.9 and not model.fallback_
    assert np.abs(model.prepare(X)).max() < 20


def test_more_folds_than_members_are_as_many_as_there_are_members():
    X, y = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 2
    folds = module._folds(X, y, 10**9)
    assert len(folds) == 6 and np.array_equal(folds, module._folds(X, y, 6))


def test_large_tables_are_thinned_and_larger_ones_refused():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    y = (X[:, 0] + 0.3 * rng.normal(size=500) > 1).astype(int)
    y[:2] = 2
    model = RecursionClassifier(max_context=100).fit(X, y)
    assert 98 <= len(model.X_) <= 102 and set(model.y_) == {0, 1, 2}
    assert abs((model.y_ == 1).mean() - (y == 1).mean()) < 0.02
    assert model.score(X, y) > 0.85
    with pytest.raises(ValueError, match="2001 features"):
        RecursionClassifier().fit(np.zeros((4, 2001)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="101 classes"):
        RecursionClassifier().fit(np.zeros((202, 2)), np.arange(202) % 101)


def test_sample_weights_are_refused():
    with pytest.raises(TypeError, match="sample_weight"):
        RecursionClassifier().fit([[0.0], [1.0]], [0, 1], sample_weight=[1.0, 2.0])


def test_length_counts():
    """With slopes the estimator is the recursion at the length of its context."""
    X, y, queries = random_table(0, 20, 3, 3)
    base = random_recursion()
    slopes = {name: 0.1 * base.table[name][::-1] for name in SCALARS}
    recursion = replace(base, slopes=slopes)
    tokens = feature_scale(3) * np.r_[X, queries][None]
    expected = recursion(tokens, y[None])[0]
    ours = RecursionClassifier(recursion, **PLAIN).fit(X, y).decision_function(queries)
    assert np.abs(ours - expected).max() < 1e-11 < 1e-3 < np.abs(base(tokens, y[None])[0] - expected).max()


# A partner


def linear(n, noise=0.0, tasks=8):
    batch = LinearTask(n, 5, 3, noise).sample(tasks, seed=17, n_queries=200)
    return list(zip(batch.x.double().numpy(), batch.y.numpy(), strict=True))


def test_a_partner_helps_on_clean_short_contexts_and_hardly_speaks_on_noisy_ones():
    clean, noisy = linear(60), linear(60, 0.3)
    ours, theirs = ([RecursionClassifier(name).fit(x[:60], y[:60]) for x, y in clean] for name in (None, DEFAULT))
    lead = [
        one.score(x[60:], y[60:]) - other.score(x[60:], y[60:])
        for one, other, (x, y) in zip(ours, theirs, clean, strict=True)
    ]
    assert np.mean(lead) > 0.01
    share = [RecursionClassifier().fit(x[:60], y[:60]).shares_.get(PARTNER, 0) for x, y in noisy]
    assert np.mean(share) < 0.2 < 0.5 < np.mean([model.shares_.get(PARTNER, 0) for model in ours])


def test_logits_are_a_sum_over_both():
    fits = ((x, y, RecursionClassifier().fit(x[:40], y[:40])) for x, y in linear(40))
    x, y, model = next(fit for fit in fits if set(fit[2].shares_) == {DEFAULT, PARTNER})
    assert sum(model.shares_.values()) == pytest.approx(1)
    alone = [RecursionClassifier(DEFAULT), RecursionClassifier(PARTNER, tame=False, ranks=0)]
    for one in alone:
        one.fit(x[:40], y[:40])
    logits = sum(
        model.shares_[name] * one._logits(x[40:]) for name, one in zip((DEFAULT, PARTNER), alone, strict=True)
    )  # each over its own T
    assert np.abs(model._logits(x[40:]) * model.temperature_ - logits).max() < 1e-12 * np.abs(logits).max()
    assert np.abs(model.contributions(x[40:]).sum(1) - model._logits(x[40:])).max() < 1e-12 * np.abs(logits).max()


def test_with_a_partner_too_names_and_order_of_features_change_no_digit():
    columns, names = np.array([3, 0, 4, 1, 2]), np.array([2, 0, 1])
    heard = 0
    for x, y in linear(40, tasks=4):
        model = RecursionClassifier().fit(x[:40], y[:40])
        moved = RecursionClassifier().fit(x[:40, columns], names[y[:40]])
        heard += len(model.shares_) == 2
        assert moved.shares_ == model.shares_
        assert np.array_equal(moved.predict_proba(x[:, columns])[:, names], model.predict_proba(x))
    assert heard >= 2


def test_a_partner_that_is_left_out_leaves_no_trace(monkeypatch):
    x, y = linear(40, tasks=1)[0]
    monkeypatch.setattr("icl_nb.classifier.HEAD_START", 1e9)
    model, alone = RecursionClassifier().fit(x[:40], y[:40]), RecursionClassifier(DEFAULT).fit(x[:40], y[:40])
    assert model.shares_ == alone.shares_ == {DEFAULT: 1.0} and model.check_ == alone.check_
    assert np.array_equal(model.predict_proba(x), alone.predict_proba(x))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"calibrate": 0}, DEFAULT),
        ({"standardize": False}, DEFAULT),
        ({"ranks": 1}, DEFAULT),
        ({"recursion": "table"}, "table"),
        ({"recursion": random_recursion()}, "given"),
    ],
)
def test_who_has_no_partner(options, name):
    for x, y in linear(40, tasks=4):
        assert RecursionClassifier(**options).fit(x[:40], y[:40]).shares_ == {name: 1.0}


def test_a_long_context_is_for_the_default_alone():
    x, y = linear(SHORT + 1, tasks=1)[0]
    assert PARTNER in RecursionClassifier().fit(x[:SHORT], y[:SHORT]).shares_
    assert RecursionClassifier().fit(x[: SHORT + 1], y[: SHORT + 1]).shares_ == {DEFAULT: 1.0}


def test_where_nothing_is_known_the_partner_is_nearly_always_silent():
    draws = [np.random.default_rng(seed) for seed in range(8)]
    tables = [(rng.normal(size=(60, 6)), rng.integers(0, 2, 60)) for rng in draws]
    assert sum(RecursionClassifier().fit(X, y).shares_.get(PARTNER, 0) < 0.1 for X, y in tables) >= 7
