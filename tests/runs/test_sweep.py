"""One file a configuration, computed once, whatever is killed; on a real cluster, too."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from icl_nb.runs import sweep as module
from icl_nb.runs.sweep import name_of, run_configuration, sweep


def configuration(seed=0, **training):
    task = {"n_points": 4, "n_features": 2, "n_classes": 2}
    small = {"steps": 2, "batch_size": 3, "n_queries": 2, "seed": seed}
    model = {"depth": 1, "heads": 1, "seed": seed}
    return {"kind": "equivariant", "model": model, "task": task, "training": small | training, "n_tasks": 10}


GRID = [configuration(seed) for seed in range(5)]


def without_time(results):
    return [{name: value for name, value in result.items() if name != "seconds"} for result in results]


@pytest.fixture
def counted(monkeypatch):
    """The configurations that are computed."""
    done = []

    def count(given):
        done.append(given)
        return run_configuration(given)

    monkeypatch.setattr(module, "run_configuration", count)
    return done


def test_a_second_call_computes_only_what_is_missing(tmp_path, counted):
    first = sweep(GRID[:3], folder=tmp_path, progress=False)
    assert counted == GRID[:3]
    again = sweep(GRID, folder=tmp_path, progress=False)
    assert counted == GRID and again[:3] == first
    (tmp_path / f"{name_of(GRID[1])}.json").unlink()
    assert without_time(sweep(GRID, folder=tmp_path, progress=False)) == without_time(again)
    assert counted[5:] == [GRID[1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name_of(each)}.json" for each in GRID)


def test_results_are_in_the_order_asked_and_repeated_for_repeated_configurations(counted):
    (one,), pair = sweep(GRID[1:2], progress=False), sweep(GRID[:2][::-1], progress=False)
    assert without_time(pair[:1]) == without_time([one])
    assert len(sweep([GRID[0], GRID[0]], progress=False)) == 2 and len(counted) == 4


def test_a_file_says_what_it_is_the_result_of(tmp_path):
    (result,) = sweep(GRID[:1], folder=tmp_path, progress=False)
    content = json.loads((tmp_path / f"{name_of(GRID[0])}.json").read_text())
    assert content == {"format": "icl-nb sweep 1", "configuration": GRID[0], "result": result}


def test_names_tell_configurations_apart():
    changed = [configuration(1), configuration(steps=3), configuration(0) | {"n_tasks": 11}]
    assert len({name_of(each) for each in [GRID[0], *changed]}) == 4
    assert all(re.fullmatch("[0-9a-f]{16}", name_of(each)) for each in changed)
    with pytest.raises(ValueError, match="finite numbers"):
        name_of({"rate": float("nan")})


def test_a_training_that_diverges_is_a_result_and_ends_no_grid(tmp_path):
    wild = configuration(0, learning_rate=1e30, steps=5)
    lost, good = sweep([wild, GRID[0]], folder=tmp_path, progress=False)
    assert "at step" in lost["error"] and "accuracy" in good
    assert sweep([wild], folder=tmp_path, progress=False) == [lost]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "recurrent"}, "no configuration"),
        ({"model": {"depth": 0}}, "depth=0"),
        ({"model": {"wings": 2}}, "no configuration"),
        ({"task": {"n_points": 0}}, "n_points=0"),
        ({"n_tasks": 1}, "n_tasks=1"),
        ({"training": {"steps": 0}}, "steps=0"),
        ({"device": "nowhere"}, "device='nowhere'"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_is_found_before_any_training(change, message, counted):
    with pytest.raises(ValueError, match=message):
        sweep([GRID[0], GRID[1] | change], progress=False)
    assert counted == []


def test_a_folder_that_takes_no_file_is_found_before_any_training(tmp_path, counted):
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "deeper", "", "\0"):
        with pytest.raises(ValueError, match=r"takes no file|has no name"):
            sweep(GRID, folder=folder, progress=False)
    assert counted == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "[" * 100_000, '{"format": "icl-nb sweep 1"}', '{"format": "icl-nb sweep 2"}', "\x80"],
    ids=lambda content: repr(content[:20]),
)
def test_damaged_results_are_not_believed(content, tmp_path, counted):
    (tmp_path / f"{name_of(GRID[0])}.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match="remove it"):
        sweep(GRID[:1], folder=tmp_path, progress=False)
    assert counted == []


def test_two_calls_at_once_do_not_collide(tmp_path):
    found = {}

    def call(name):
        found[name] = sweep(GRID, folder=tmp_path, progress=False)

    threads = [threading.Thread(target=call, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert without_time(found["a"]) == without_time(found["b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name_of(each)}.json" for each in GRID)


def test_processes_give_what_one_gives(tmp_path):
    assert without_time(sweep(GRID, jobs=2, folder=tmp_path, progress=False)) == without_time(
        sweep(GRID, progress=False)
    )


# A cluster on this machine


@pytest.fixture
def cluster():
    """A scheduler and two workers, each a process of its own, as on two machines: its address and the workers."""
    pytest.importorskip("distributed")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options = {"env": environment, "stderr": subprocess.STDOUT, "stdout": subprocess.PIPE, "text": True}
    dask = [sys.executable, "-m", "dask"]
    where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", *where], **options)
    processes = [scheduler]
    try:
        address = next(
            found.group() for line in scheduler.stdout if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line))
        )
        options["stdout"] = subprocess.DEVNULL
        worker = [*dask, "worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        processes += [subprocess.Popen(worker, **options) for _ in range(2)]
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        scheduler.stdout.close()


def test_a_cluster_that_loses_a_worker_gives_every_result_once(tmp_path, cluster):
    address, workers = cluster
    grid = [configuration(seed, steps=60) for seed in range(12)]
    killed = []

    def kill():
        while not any(tmp_path.glob("*.json")):
            time.sleep(0.02)
        workers[0].send_signal(signal.SIGKILL)
        killed.append(len(list(tmp_path.glob("*.json"))))

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    found = sweep(grid, folder=tmp_path, backend="dask", scheduler=address, progress=False)
    thread.join(1)
    assert killed and killed[0] < len(grid) and workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name_of(each)}.json" for each in grid)
    assert without_time(found) == without_time(run_configuration(each) for each in grid)


def test_the_command_line_on_a_cluster(tmp_path, cluster):
    options = "--n-points 4 --n-features 2 --n-classes 2 --steps 2 --batch-size 3 --n-tasks 10 --depths 1 --seeds 0 1"
    command = [sys.executable, "-m", "icl_nb", "sweep", *options.split(), "--json", "--out", str(tmp_path)]
    engine = ["--backend", "dask", "--scheduler", cluster[0]]
    run = subprocess.run([*command, *engine], capture_output=True, text=True, check=True)
    assert run.stderr == "" and [row["seed"] for row in json.loads(run.stdout)] == [0, 1]
    assert len(list(Path(tmp_path).glob("*.json"))) == 2


def test_a_line_break_in_a_name_is_none_in_the_message(tmp_path):
    bad = {"kind": "equivariant", "model": {"depth": 1, "\n": None}, "task": {}, "training": {"steps": 1}, "n_tasks": 4}
    with pytest.raises(ValueError, match="is no configuration") as caught:
        sweep([bad], folder=tmp_path, progress=False)
    assert "\n" not in str(caught.value)
