"""The command: every subcommand explains itself, prints a table or JSON, and says in one line what was wrong."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

import icl_nb
from icl_nb import cli
from icl_nb.cli import main
from icl_nb.evaluation.baselines import BASELINES
from icl_nb.evaluation.scores import evaluate, predict, score
from icl_nb.evaluation.survey import yardsticks
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import available, describe, load, save
from icl_nb.models.training import train
from icl_nb.runs.bench import PARTS
from icl_nb.shipped.retrain import RECIPES
from icl_nb.tasks.linear import LinearTask

TASK = ["--n-points", "6", "--n-features", "2", "--n-classes", "2"]
TRAINING = ["--steps", "3", "--batch-size", "4", "--train-queries", "2", "--n-tasks", "10"]
REPORT = {"accuracy", "accuracy_se", "cross_entropy", "cross_entropy_se", "n_tasks", "n_queries"}


def ask(capsys, *arguments):
    """The rows that a command prints as JSON, and nothing but JSON on stdout and nothing on stderr."""
    assert main([*map(str, arguments), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(printed.out, parse_constant=refuse)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    save(EquivariantTransformer(2, 2, depth=2), path)
    return path


# Help

TASK_OPTIONS = "--n-points --n-features --n-classes --noise --shift --unlabelled --json "
TRAINING_OPTIONS = (
    "--kind --scalars --device --steps --batch-size --train-queries --learning-rate --symmetry --n-tasks "
)
ENGINE_OPTIONS = "--jobs --backend --scheduler --shard"
OPTIONS = {
    "train": TASK_OPTIONS + TRAINING_OPTIONS + "--depth --heads --seed --out --resume --every",
    "evaluate": TASK_OPTIONS + "checkpoint --n-tasks --n-queries --seed --baselines --device",
    "bench": "--json --parts --device --repeats",
    "sweep": TASK_OPTIONS + TRAINING_OPTIONS + "--depths --head-counts --seeds --out " + ENGINE_OPTIONS,
    "checkpoints": "NAME --retrain --verify --folder --part --json --resume " + ENGINE_OPTIONS,
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_of_a_subcommand(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    printed = capsys.readouterr()
    assert printed.err == "" and f"icl-nb {command}" in printed.out
    for option in OPTIONS[command].split():
        assert option in printed.out


def test_help_of_the_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(command in out for command in OPTIONS)


def test_as_a_module():
    process = subprocess.run(
        [sys.executable, "-m", "icl_nb", "checkpoints", "--json"], capture_output=True, text=True, check=True
    )
    assert [row["name"] for row in json.loads(process.stdout)] == available() and process.stderr == ""


# train


@pytest.mark.parametrize("kind", ["dense", "equivariant"])
def test_train_is_train_and_evaluate(kind, capsys, tmp_path):
    path = tmp_path / "model.safetensors"
    (row,) = ask(capsys, "train", *TASK, *TRAINING, "--kind", kind, "--depth", 2, "--seed", 3, "--out", path)
    task = LinearTask(6, 2, 2)
    model = {"dense": DenseTransformer, "equivariant": EquivariantTransformer}[kind](2, 2, 2, seed=3)
    train(model, task, steps=3, batch_size=4, n_queries=2, seed=3, progress=False)
    assert row.items() >= asdict(evaluate(model, task, n_tasks=10)).items()
    assert all(torch.equal(a, b) for a, b in zip(load(path).parameters(), model.parameters(), strict=True))
    about = describe(path)["about"]
    assert about["task"] == asdict(task) and about["evaluation"].items() <= row.items()
    assert about["training"] == {
        "steps": 3, "batch_size": 4, "learning_rate": 0.01, "symmetry": None, "n_queries": 2, "seed": 3
    }  # fmt: skip


@pytest.mark.parametrize("symmetry", ["injection", "projection"])
def test_train_with_a_symmetry(symmetry, capsys):
    (row,) = ask(capsys, "train", *TASK, *TRAINING, "--kind", "dense", "--depth", 1, "--symmetry", symmetry)
    assert set(row) == REPORT | {"model", "seconds"} and row["model"] == "dense"


def test_train_reaches_every_option_of_the_task(capsys, tmp_path):
    path = tmp_path / "model.safetensors"
    options = ["--noise", 0.1, "--shift", 0.5, "--unlabelled", 0.25, "--scalars", 4, "--heads", 2, "--depth", 1]
    ask(capsys, "train", *TASK, *TRAINING, *options, "--out", path)
    assert describe(path)["about"]["task"] == asdict(LinearTask(6, 2, 2, 0.1, 0.5, 0.25))
    assert (load(path).scalars, load(path).heads) == (4, 2)


# evaluate


def test_evaluate_is_evaluate(checkpoint, capsys):
    (row,) = ask(capsys, "evaluate", checkpoint, "--n-points", 6, "--n-tasks", 20, "--n-queries", 3, "--seed", 5)
    report = evaluate(load(checkpoint), LinearTask(6, 2, 2), n_tasks=20, seed=5, n_queries=3)
    assert row.items() >= asdict(report).items() and row["model"] == str(checkpoint)


def test_evaluate_beside_oracle_and_baselines(checkpoint, capsys):
    rows = ask(capsys, "evaluate", checkpoint, "--n-points", 6, "--n-tasks", 15, "--n-queries", 2, "--baselines")
    assert [row["model"] for row in rows] == [str(checkpoint), "bayes", *BASELINES]
    batch = LinearTask(6, 2, 2).sample(15, seed=1, n_queries=2)
    logits = {str(checkpoint): predict(load(checkpoint), batch)} | yardsticks(batch)
    for row in rows:
        assert row.items() >= asdict(score(logits[row["model"]], batch)).items()


def test_evaluate_at_another_size(checkpoint, capsys, tmp_path):
    (row,) = ask(capsys, "evaluate", checkpoint, "--n-features", 4, "--n-classes", 3, "--n-tasks", 5)
    report = evaluate(load(checkpoint).resized(4, 3), LinearTask(40, 4, 3), n_tasks=5)
    assert row["accuracy"] == report.accuracy
    dense = tmp_path / "dense.safetensors"
    save(DenseTransformer(2, 2, depth=1), dense)
    assert main(["evaluate", str(dense), "--n-features", "4", "--n-tasks", "5"]) == 2
    assert "fit one size alone" in capsys.readouterr().err


@pytest.mark.parametrize("name", available()[:1])
def test_evaluate_a_shipped_checkpoint(name, capsys):
    (row,) = ask(capsys, "evaluate", name, "--n-tasks", 50)
    assert row["model"] == name and row["accuracy"] > 0.7


# bench, sweep, checkpoints


def test_bench(capsys, monkeypatch):
    """What it measures is tested with the measurements; here, that the command asks for it and prints it."""
    asked = []

    def measured(parts, **options):
        asked.append((parts, options))
        return iter([{"part": "machine", "gflops": 1.5}])

    monkeypatch.setattr(cli, "bench", measured)
    assert ask(capsys, "bench", "--repeats", 2) == [{"part": "machine", "gflops": 1.5}]
    ask(capsys, "bench", "--parts", "growth", "training", "--device", "cuda")
    assert asked == [(PARTS, {"rounds": 2, "device": "cpu"}), (("growth", "training"), {"rounds": 9, "device": "cuda"})]


def test_sweep_covers_the_grid(capsys, tmp_path):
    out = tmp_path / "results"
    grid = ["--depths", 1, 2, "--head-counts", 1, 2, "--seeds", 0, 7]
    rows = ask(capsys, "sweep", *TASK, *TRAINING, *grid, "--out", out)
    combinations = [(row["depth"], row["heads"], row["seed"]) for row in rows]
    assert combinations == [(depth, heads, seed) for depth in (1, 2) for heads in (1, 2) for seed in (0, 7)]
    assert all(row["parameters"] == 12 * row["depth"] * row["heads"] + 1 for row in rows)
    assert all(row.keys() >= REPORT for row in rows)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(before) == 8 and ask(capsys, "sweep", *TASK, *TRAINING, *grid, "--out", out) == rows
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before  # nothing was computed again
    shards = [ask(capsys, "sweep", *TASK, *TRAINING, *grid, "--out", out, "--shard", f"{i}/3") for i in (1, 2, 3)]
    assert [len(shard) for shard in shards] == [3, 3, 2] and shards[1] == rows[1::3]
    (alone,) = ask(capsys, "train", *TASK, *TRAINING, "--depth", 2, "--heads", 2, "--seed", 7)
    assert alone["accuracy"] == rows[-1]["accuracy"] and alone["cross_entropy"] == rows[-1]["cross_entropy"]


def test_checkpoints_lists_what_ships(capsys):
    rows = ask(capsys, "checkpoints")
    assert [row["name"] for row in rows] == available()
    assert len(rows) == len(RECIPES) >= 99
    for row in rows:
        recipe = RECIPES[row["name"]]
        assert row.keys() >= {"kind", "training_seconds"} | (
            REPORT | {"depth", "heads"} if recipe.part == 1 else {"loss"}
        )
        assert row["kind"] == recipe.kind
    assert ask(capsys, "checkpoints", rows[0]["name"]) == rows[:1]


def test_retraining_goes_through_the_recipes(monkeypatch, capsys, tmp_path):
    """The trainings themselves are tested with the checkpoints; here, what the command asks for and lists."""
    asked = {}

    def retrain(names, **options):
        asked.update(names=names, **options)
        about = {"evaluation": {"accuracy": 0.5}, "training": {"seconds": 3}}
        save(EquivariantTransformer(depth=2), tmp_path / "dense-1.safetensors", **about)

    monkeypatch.setattr(cli.checkpoints, "retrain", retrain)
    (row,) = ask(capsys, "checkpoints", "dense-1", "--retrain", "--folder", tmp_path, "--jobs", 3)
    plain = {"backend": "loky", "scheduler": None, "shard": None, "resume": False}
    assert asked == {"names": ["dense-1"], "folder": tmp_path, "jobs": 3, "progress": False} | plain
    shape = {"name": "dense-1", "kind": "equivariant", "depth": 2, "heads": 1}
    assert row == shape | {"training_seconds": 3, "accuracy": 0.5}


def test_verify_tells_figures_that_are_off(capsys, tmp_path):
    rows = ask(capsys, "checkpoints", "--verify", "four-0", "joint-0")
    assert [row["name"] for row in rows] == ["four-0", "joint-0"] and all(row["within"] for row in rows)
    about, worse = describe("four-0")["about"], load("four-0")
    with torch.no_grad():
        worse.m.mul_(0.5)
    save(worse, tmp_path / "four-0.safetensors", **about)
    assert main(["checkpoints", "--verify", "four-0", "--folder", str(tmp_path)]) == 2
    assert "further from the shipped figures than allowed: four-0 0." in capsys.readouterr().err
    save(worse, tmp_path / "four-0.safetensors", **about | {"recipe": about["recipe"] | {"kind": "dense"}})
    assert main(["checkpoints", "--verify", "four-0", "--folder", str(tmp_path)]) == 2
    assert "another recipe" in capsys.readouterr().err
    assert main(["checkpoints", "--verify", "four-1", "--folder", str(tmp_path)]) == 2


def test_the_checkpoints_of_part_two(capsys):
    rows = ask(capsys, "checkpoints", "--part", 2)
    assert [row["name"] for row in rows] == [name for name in available() if RECIPES[name].part == 2]
    # With a dominance the stored predictive assumes a prior that is not the chains' own, so it is no bound there.
    bounded = [row for row in rows if "dominant" not in row["name"]]
    assert bounded and all(row["loss"] > row["posterior_predictive"] > 0 for row in bounded)


# Tables


def test_the_table_lines_up(checkpoint, capsys):
    assert main(["evaluate", str(checkpoint), "--n-tasks", "5"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    columns = "model seconds accuracy accuracy_se cross_entropy cross_entropy_se n_tasks n_queries"
    assert head.split() == columns.split()
    assert head.index("n_tasks") == row.rindex(" 5 ") + 1
    assert len(row.split()[2].split(".")[1]) == 4 and row.split()[-2:] == ["5", "16"]


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --n-points 0", "n_points=0"),
        ("train --n-classes 1", "n_classes=1"),
        ("train --noise 1.5", "noise=1.5"),
        ("train --noise -0.1", "noise=-0.1"),
        ("train --shift nan", "shift=nan"),
        ("train --unlabelled 1", "unlabelled=1.0"),
        ("train --depth 0", "depth=0"),
        ("train --heads -1", "heads=-1"),
        ("train --steps 0", "steps=0"),
        ("train --batch-size 0", "batch_size=0"),
        ("train --train-queries 0", "n_queries=0"),
        ("train --learning-rate 0", "learning_rate=0.0"),
        ("train --learning-rate nan", "learning_rate=nan"),
        ("train --seed -1", "seed=-1"),
        ("train --n-tasks 1", "n_tasks=1; it must be a whole number of at least 2"),
        ("train --symmetry injection", "acts on dense weights"),
        ("train --out model.pt", "ends in .safetensors"),
        ("train --device nowhere", "device='nowhere' cannot be used here"),
        ("train --device cuda:99", "device='cuda:99'"),
        ("evaluate no-such-name", "no checkpoint named 'no-such-name'; there are"),
        ("evaluate missing.safetensors", "no file missing.safetensors"),
        ("evaluate {checkpoint} --n-tasks 1", "at least 2"),
        ("evaluate {checkpoint} --n-tasks 0", "n_tasks=0"),
        ("evaluate {checkpoint} --n-queries 0", "n_queries=0"),
        ("evaluate {checkpoint} --seed -3", "seed=-3"),
        ("evaluate {checkpoint} --device nowhere", "device='nowhere'"),
        ("evaluate {pickle}", "not a whole safetensors file, which alone is read (never a pickle)"),
        ("bench --repeats 0", "rounds=0"),
        ("bench --device nowhere", "device='nowhere'"),
        ("sweep --depths 0", "depth=0"),
        ("sweep --seeds -1", "seed=-1"),
        ("sweep --n-tasks 1", "n_tasks=1"),
        ("sweep --out {pickle}", "takes no file"),
        ("sweep --out {pickle}/results", "takes no file"),
        ("sweep --shard 0/2", "shard='0/2'"),
        ("sweep --jobs 0", "jobs=0"),
        ("sweep --backend dask", "a scheduler's address goes with the backend dask"),
        ("sweep --scheduler tcp://127.0.0.1:1", "goes with the backend dask"),
        ("train --resume state.pt", "ends in .safetensors"),
        ("train --resume {pickle}", "never a pickle"),
        ("train --every 0", "every=0"),
        ("checkpoints --retrain headline --folder {folder} --shard 3/2", "shard='3/2'"),
        ("checkpoints no-such-name", "no checkpoint named 'no-such-name'"),
        ("checkpoints --retrain no-such-name", "no recipe for no-such-name"),
        ("checkpoints --retrain headline --jobs 0", "jobs=0"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["table", "json"])
def test_wrong_input_exits_2_and_says_why_in_one_line(
    arguments, message, as_json, checkpoint, tmp_path, capsys, monkeypatch
):
    """Before any training: it would take minutes."""
    pickle = tmp_path / "pickle.safetensors"
    torch.save({}, pickle)
    monkeypatch.chdir(tmp_path)
    words = arguments.format(checkpoint=checkpoint, pickle=pickle, folder=tmp_path).split()
    assert main([*words, *(["--json"] if as_json else [])]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"icl-nb {words[0]}: ") and message in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "fly",
        "train --kind recurrent",
        "train --steps many",
        "train --steps 2.5",
        "train --scalars 6",
        "train --symmetry reflection",
        "train --no-such-option",
        "evaluate",
        "sweep --depths",
        "bench --device",
    ],
)
def test_what_the_parser_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    printed = capsys.readouterr()
    assert caught.value.code == 2 and printed.out == ""
    assert "usage: icl-nb" in printed.err and "error: " in printed.err.splitlines()[-1]


def test_a_path_is_checked_before_the_training(monkeypatch):
    def never(*args, **options):
        raise AssertionError("trained in vain")

    monkeypatch.setattr(cli, "train", never)
    assert main(["train", "--out", "model"]) == 2


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"icl-nb {icl_nb.__version__}\n"


def test_scalars_are_of_equivariant_models(capsys):
    assert main(["train", "--kind", "dense", "--scalars", "4", "--steps", "1"]) == 2
    assert "--scalars 4 is of equivariant models" in capsys.readouterr().err


def test_help_of_the_task_is_that_of_the_task(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "probability that a context label is replaced" in " ".join(capsys.readouterr().out.split())


def test_ctrl_c_ends_in_one_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.checkpoints, "retrain", interrupted)
    assert main(["checkpoints", "dense-0", "--retrain"]) == 130
    assert capsys.readouterr().err == "icl-nb checkpoints: interrupted\n"


def test_an_output_without_a_name_is_refused(capsys):
    assert main(["train", "--steps", "1", "--out", ""]) == 2
    assert "must name a file" in capsys.readouterr().err
