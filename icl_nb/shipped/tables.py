"""The estimator beside scikit-learn's own, on the tables that come with it.

`python -m icl_nb.shipped.tables` re-creates the stored results, in some minutes on one core.
"""

import json
import time
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from icl_nb.checks import check_count, check_fraction, check_seed
from icl_nb.classifier import RecursionClassifier
from icl_nb.evaluation.scores import log_loss
from icl_nb.models.files import write_whole

STORED = Path(__file__).with_name("tables.json")


TABLES = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}


METHODS = {
    "recursion": RecursionClassifier(),
    "clean table": RecursionClassifier("table", tame=False, safe=False),  # trained on clean tasks, and trusted blindly
    "one size": RecursionClassifier("recursion", intercept=True),  # trained at one n, d and K alone
    "logistic": LogisticRegression(),
    "lda": LinearDiscriminantAnalysis(),
    "svc": SVC(),
    "knn": KNeighborsClassifier(),
    "forest": RandomForestClassifier(random_state=0),
}


# Asked on the tables of `real` alone, without a partner: the default's table; from another start and other tasks; with
# one copy and as many numbers, in heads; without slopes.
SEEDS = {
    "alone": RecursionClassifier("trusted"),
    "second seed": RecursionClassifier("trusted-again"),
    "one copy": RecursionClassifier("trusted-one"),
    "no slopes": RecursionClassifier("trusted-flat"),
}


def benchmark_tables(
    tables=tuple(TABLES), methods=tuple(METHODS), *, splits: int = 20, share: float = 0.5, seed: int = 0, progress=False
) -> list[dict]:
    r"""Accuracy and log-loss of classifiers at their defaults, over repeated stratified splits of real tables.

    .. math:: \text{log-loss} = -\tfrac{1}{q} \sum_i \log \max(p_{i, y_i}, 0.001)

    Every method gets standardised features. `SVC` has no probabilities by default, and so no log-loss (None). Standard
    errors are over splits, which overlap: they say how far the split matters, not how far another table would.

    Arguments:
        tables: names out of `TABLES`.
        methods: names out of `METHODS`.
        splits: how many.
        share: of the rows that are given with their labels.
        seed: of the splits; the first splits of a longer run are those of a shorter one.
        progress: show a bar for each table.

    Returns:
        a row for each table and method.

    Raises:
        ValueError: an unknown name, or a number out of range.

    Source: own.

    Example:
        >>> [row] = benchmark_tables(["wine"], ["logistic"], splits=3)
        >>> row["accuracy"] > 0.9, row["splits"]
        (True, 3)
    """
    for given, known in ((tables, TABLES), (methods, METHODS)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"{unknown[0]!r} is unknown; there are {', '.join(known)}")
    check_count("splits", splits, 2)
    check_seed(seed)
    check_fraction("share", share)
    rows = []
    for table in tables:
        X, y = TABLES[table](return_X_y=True)
        cuts = cut(y, splits, share, None, seed)
        for name in tqdm(methods, desc=table, disable=None if progress else True):
            started = time.perf_counter()
            results = [score(name, X, y, seen, hidden) for seen, hidden in cuts]
            seconds = (time.perf_counter() - started) / splits
            row = {"table": table, "method": name, "splits": splits, "seconds": round(seconds, 3)}
            for key, values in zip(("accuracy", "log_loss"), np.array(results, dtype=float).T, strict=True):
                kept = not np.isnan(values).any()
                row[key] = round(float(values.mean()), 5) if kept else None
                row[f"{key}_se"] = round(float(values.std(ddof=1)) / splits**0.5, 5) if kept else None
                row[f"{key}_splits"] = values.round(5).tolist() if kept else None
            rows.append(row)
    return rows


def cut(y, splits: int, seen: int | float, asked: int | None, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified splits: the rows of the context and those that are asked, by number or share."""
    parts = StratifiedShuffleSplit(splits, train_size=seen, test_size=asked, random_state=seed)
    return list(parts.split(np.zeros((len(y), 1)), y))


def score(name: str, X, y, seen, hidden) -> tuple[float, float]:
    """Accuracy and log-loss (NaN without probabilities) of a method on standardised features."""
    model = make_pipeline(StandardScaler(), clone((METHODS | SEEDS)[name])).fit(X[seen], y[seen])
    accuracy = model.score(X[hidden], y[hidden])
    if not hasattr(model, "predict_proba"):
        return accuracy, np.nan
    p = np.zeros((len(hidden), y.max() + 1))  # a class that the context lacks gets none
    p[:, model.classes_] = model.predict_proba(X[hidden])
    return accuracy, log_loss(p, y[hidden])


def synthetic_tables(repeats: int = 3, *, seed: int = 0):
    """Tables on which options of the estimator are chosen, so that the real ones need not be: `name, X, y, n`.

    Linear borders through the origin and away from it, round and correlated clouds, and Gaussian mixtures with common
    and with own covariances; each in three sizes of n, d and K. The first n rows are the context, 300 more are asked.
    """
    check_count("repeats", repeats, 1)
    rng = np.random.default_rng(check_seed(seed))
    for _ in range(repeats):
        for n, d, K in ((60, 4, 3), (100, 12, 2), (250, 25, 5)):
            for correlated in (False, True):
                for offset in (0.0, 0.7):
                    X = rng.normal(size=(n + 300, d))
                    if correlated:
                        X = X @ (np.linalg.qr(rng.normal(size=(d, d)))[0] * np.exp(1.2 * rng.normal(size=d))).T
                    scores = X @ (rng.normal(size=(K, d)) / X.std(0)).T
                    scores += offset * scores.std() * rng.normal(size=K)
                    kind = "correlated" if correlated else "round"
                    yield f"{kind}, {'offset' if offset else 'centred'}", X, scores.argmax(1), n
            y = rng.integers(0, K, n + 300)
            X = rng.normal(size=(n + 300, d // 2)) @ rng.normal(size=(d // 2, d)) + 0.5 * rng.normal(size=(n + 300, d))
            yield "mixture, one covariance", X + 1.2 * (rng.normal(size=(K, d)) * X.std(0))[y], y, n
            spread, line = rng.normal(size=(K, d, d)), rng.normal(size=d)
            X = 0.6 * np.einsum("ij,ijk->ik", rng.normal(size=(n + 300, d)), spread[y])
            yield "mixture on a line", X + 2 * d**0.5 * np.outer(y, line / np.linalg.norm(line)), y, n


def main() -> None:
    rows = benchmark_tables(progress=True)
    write_whole(STORED, (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
