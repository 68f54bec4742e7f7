"""Bad input of every kind, drawn at random: documented errors in one line, no traceback, no partial file.

25 examples each; `make fuzz` takes 2,000.
"""

import contextlib
import io
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_nb.checks import check_count, check_fraction, check_number, check_positive, check_seed
from icl_nb.cli import main
from icl_nb.descent import Descent
from icl_nb.evaluation.oracle import bayes_posterior
from icl_nb.evaluation.scores import evaluate, log_loss, mean_agreement, predict, reliability
from icl_nb.evaluation.survey import survey
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import describe, get, load, load_history, put, save
from icl_nb.models.training import train
from icl_nb.runs.engine import run_all, take_shard
from icl_nb.runs.sweep import sweep
from icl_nb.tasks.linear import LinearTask

EXAMPLES = 2000 if "ICL_NB_SLOW" in os.environ else 25
fuzz = settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 25)
TASK, SMALL = LinearTask(4, 2, 2), {"steps": 1, "batch_size": 2, "n_queries": 2, "progress": False}
DOCUMENTED = (ValueError, FileNotFoundError)  # the first holds DivergenceError

numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70).filter(lambda number: abs(number) > 10**9),
    st.floats(),
    st.sampled_from(
        [True, None, "", "3", math.nan, math.inf, 1e308, 5e-324, np.int64(2), np.float32(1.5), b"1", (), [1]]
    ),
)


def only_documented(call):
    """Whatever comes, it comes in words; what is given back is finite."""
    said = "something"
    with contextlib.suppress(*DOCUMENTED):
        try:
            return call()
        except DOCUMENTED as error:
            said = str(error)
            raise
    assert said and "\n" not in said
    return None


# Arguments


@fuzz
@given(st.sampled_from([check_number, check_positive, check_fraction]), numbers)
def test_checks_of_numbers(check, value):
    found = only_documented(lambda: check("x", value))
    assert found is None or (type(found) is float and math.isfinite(found))


@fuzz
@given(numbers)
def test_checks_of_counts_and_seeds(value):
    for found in (only_documented(lambda: check_count("x", value, 0)), only_documented(lambda: check_seed(value))):
        assert found is None or (type(found) is int and found >= 0)


TRAINING = ("steps", "batch_size", "n_queries", "seed", "learning_rate", "symmetry", "every")


@fuzz
@given(st.sampled_from(TRAINING), numbers, st.sampled_from([DenseTransformer, EquivariantTransformer]))
def test_training(name, value, kind):
    if name in ("steps", "batch_size", "n_queries") and isinstance(value, int) and value > 10**4:
        return  # a legitimate wish, which takes its time
    model = kind(2, 2, 1)
    history = only_documented(lambda: train(model, TASK, **SMALL | {name: value}))
    assert history is None or all(math.isfinite(loss) for loss in history.loss)
    assert all(part.isfinite().all() for part in model.parameters()) or name == "learning_rate"


@fuzz
@given(st.sampled_from(["steps", "learning_rate"]), numbers)
def test_descents(name, value):
    only_documented(
        lambda: Descent([torch.nn.Parameter(torch.ones(2))], **{"steps": 3, "learning_rate": 0.1, name: value})
    )


@fuzz
@given(st.sampled_from(["sweeps", "burn_in", "chains", "seed"]), numbers)
def test_the_oracle(name, value):
    if isinstance(value, int) and not isinstance(value, bool) and value > 10**4 and name != "seed":
        return
    batch = TASK.sample(2, n_queries=2)
    found = only_documented(lambda: bayes_posterior(batch, **{"sweeps": 6, "burn_in": 1, name: value}))
    assert found is None or found.probs.isfinite().all()


@fuzz
@given(numbers, numbers, numbers)
def test_evaluations(n_tasks, batch_size, n):
    batch, model = TASK.sample(3, n_queries=2), EquivariantTransformer(2, 2, 1)
    only_documented(lambda: predict(model, batch, batch_size=batch_size))
    if not (isinstance(n_tasks, int) and n_tasks > 10**4):
        only_documented(lambda: evaluate(model, TASK, n_tasks=n_tasks))
    if not (isinstance(n, int) and n > 10**4):
        only_documented(lambda: survey(batch, {"model": model}, n_knn=n))


@fuzz
@given(st.lists(st.lists(st.floats(), min_size=2, max_size=2), min_size=1, max_size=4))
def test_scores_of_what_are_no_probabilities(rows):
    answers = [0] * len(rows)
    for found in (
        only_documented(lambda: log_loss(rows, answers)),
        only_documented(lambda: reliability(rows, answers)),
        only_documented(lambda: mean_agreement(torch.tensor([rows] * 3))),
    ):
        parts = found if isinstance(found, tuple) else (found,)
        assert found is None or not any(np.isnan(part).any() for part in parts)


@fuzz
@given(st.text(max_size=8), st.one_of(st.none(), st.text("0123456789/-. ", max_size=6)))
def test_shards_and_engines(text, shard):
    kept = only_documented(lambda: take_shard(["a", "b", "c"], shard))
    assert kept is None or set(kept) <= {"a", "b", "c"}
    only_documented(lambda: run_all(len, {}, backend=text))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@fuzz
@given(st.sampled_from(["kind", "model", "task", "training", "n_tasks", "device"]), json_values)
def test_configurations(name, value):
    if name == "n_tasks" and isinstance(value, int) and value > 10**4:
        return
    good = {
        "kind": "equivariant",
        "model": {"depth": 1},
        "task": {"n_points": 3},
        "training": {"steps": 1},
        "n_tasks": 4,
    }
    if name in ("training", "model") and isinstance(value, dict):
        value = good[name] | value  # of the size of a test
    with tempfile.TemporaryDirectory() as folder:
        found = only_documented(lambda: sweep([good | {name: value}], folder=folder, progress=False))
        assert len(os.listdir(folder)) == (found is not None)


# Files


@fuzz
@given(st.binary(max_size=200))
def test_files_of_any_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        path.write_bytes(content)
        for read in (load, describe, load_history):
            with pytest.raises(ValueError, match=r"a\.safetensors"):
                read(path)
        with pytest.raises(ValueError, match=r"a\.safetensors"):
            train(EquivariantTransformer(2, 2, 1), TASK, **SMALL, resume=path)
        assert path.read_bytes() == content and os.listdir(folder) == ["a.safetensors"]


@fuzz
@given(st.data(), st.sampled_from(["checkpoint", "state"]))
def test_files_cut_flipped_and_grown(data, kind):
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder, "a.safetensors"), EquivariantTransformer(2, 2, 1)
        save(model, path) if kind == "checkpoint" else train(model, TASK, **SMALL, resume=path)
        whole = path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        how = data.draw(st.sampled_from(["cut", "flip", "grow", "zero"]))
        harmed = {
            "cut": whole[:place],
            "flip": whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :],
            "grow": whole[:place] + data.draw(st.binary(min_size=1, max_size=9)) + whole[place:],
            "zero": whole[:place] + b"\0" * (len(whole) - place),
        }[how]
        if harmed == whole:
            return
        path.write_bytes(harmed)
        with pytest.raises(ValueError, match=r"a\.safetensors"):
            load(path) if kind == "checkpoint" else train(model, TASK, **SMALL, resume=path)


@fuzz
@given(st.sampled_from(["arguments", "descent", "format", "done", "groups"]), json_values)
def test_states_that_say_something_else(name, value):
    """With a checksum that fits: someone wrote it."""
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder, "a.safetensors"), EquivariantTransformer(2, 2, 1)
        train(model, TASK, **SMALL, resume=path)
        content, tensors = get(path)
        where = content if name in content else content["descent"]
        where[name] = value
        with contextlib.suppress(ValueError):  # NaN is no JSON
            put(path, content, tensors)
            only_documented(lambda: train(model, TASK, **SMALL, resume=path))
        assert all(part.isfinite().all() for part in model.parameters())


@fuzz
@given(st.text(max_size=20))
def test_names_of_files(name):
    only_documented(lambda: load(name))
    only_documented(lambda: load(name + ".safetensors"))
    with tempfile.TemporaryDirectory() as folder:
        only_documented(lambda: save(EquivariantTransformer(2, 2, 1), f"{folder}/{name}.safetensors"))


# The command line

OPTIONS = {
    "train": "--n-points --n-features --n-classes --noise --shift --unlabelled --depth --heads --seed --steps "
    "--batch-size --train-queries --learning-rate --symmetry --kind --scalars --device --n-tasks --out "
    "--resume --every",
    "evaluate": "--n-points --n-features --n-classes --noise --shift --n-tasks --n-queries --seed --device",
    "sweep": "--n-points --n-classes --depths --head-counts --seeds --steps --learning-rate --n-tasks --shard "
    "--jobs --out",
    "checkpoints": "--part --folder --shard --jobs --backend --scheduler",
    "bench": "--parts --repeats --device",
}
QUICK = {
    "train": "--steps 1 --n-tasks 4 --n-points 3 --depth 1 --batch-size 2",
    "evaluate": "four-0 --n-tasks 4 --n-points 3",
    "sweep": "--depths 1 --steps 1 --n-tasks 4 --n-points 3 --batch-size 2",
    "checkpoints": "four-0",
    "bench": "--repeats 0",
}
words = st.one_of(
    st.sampled_from(["0", "1", "2", "3", "-1", "1.5", "nan", "inf", "1e300", "1e400", "9" * 20, "x", "4"]),
    st.sampled_from(["cpu", "cuda", "meta", "hpu", "dense", "injection"]),
    st.sampled_from(["", " ", "\n", "a" * 300, "é", "--", "-", "a.safetensors", "/dev/null", "1/2", "0/0"]),
    st.text(st.characters(exclude_characters="\0/.", exclude_categories=["Cs"]), max_size=6),
)


@fuzz
@given(st.data(), st.sampled_from(sorted(OPTIONS)))
def test_the_command_line(data, command):
    chosen = data.draw(st.lists(st.tuples(st.sampled_from(OPTIONS[command].split()), words), max_size=2))
    here, out, err = os.getcwd(), io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        os.chdir(folder)
        try:
            code = main([command, *QUICK[command].split(), *(word for pair in chosen for word in pair), "--json"])
        except SystemExit as end:
            code = end.code
        finally:
            os.chdir(here)
        assert code in (0, 2), err.getvalue()
        assert "Traceback" not in err.getvalue() and (code == 0) == (err.getvalue() == "")
        for path in Path(folder).rglob("*"):
            assert path.is_dir() or path.suffix in (".safetensors", ".json"), path
