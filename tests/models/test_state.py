"""A run that is broken off anywhere, and resumed, ends with the bytes of one that was not."""

import contextlib
import json
import math
import multiprocessing
import os
import pickle
import random
import resource
import signal
import threading
import time

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from safetensors import safe_open

from icl_nb import cli
from icl_nb.descent import Descent, DivergenceError, add_up, my_part, rank
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import get, load, load_history, put, save
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.models.state import patience, sweep_up
from icl_nb.models.training import train
from icl_nb.tasks.linear import LinearTask, MixedTask

TASK = LinearTask(n_points=6, n_features=2, n_classes=2)
SLOW = "ICL_NB_SLOW" in os.environ
KINDS = {
    "equivariant": (lambda: EquivariantTransformer(2, 2, 2), None, TASK),
    "float64": (lambda: EquivariantTransformer(2, 2, 2).double(), None, TASK),
    "mixed": (lambda: EquivariantTransformer(2, 2, 2), None, MixedTask(n_points=(4, 9))),
    "injected": (lambda: DenseTransformer(2, 2, 2), "injection", TASK),
    "projected": (lambda: DenseTransformer(2, 2, 2), "projection", TASK),
    "ordinary": (lambda: OrdinaryTransformer(2, 2, 2, heads=2, blocks=2), "injection", TASK),
}


class StopError(Exception):
    pass


def run(model, task=TASK, **options):
    return train(
        model, task, **({"steps": 12, "batch_size": 4, "n_queries": 2, "seed": 3, "progress": False} | options)
    )


def stop_after(steps):
    def watch(step, _):
        if step == steps:
            raise StopError

    return watch


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


# Broken off and resumed


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_with_the_same_bytes(kind, path, tmp_path):
    """Model, curves, and the state file itself: optimiser, schedule, generator."""
    build, symmetry, task = KINDS[kind]
    unbroken, whole = build(), tmp_path / "whole.safetensors"
    history = run(unbroken, task, symmetry=symmetry, resume=whole, every=12)
    plain = build()
    assert run(plain, task, symmetry=symmetry).loss == history.loss  # keeping a state changes nothing
    for last in (5, 5, 8, 11):
        with pytest.raises(StopError):
            run(build(), task, symmetry=symmetry, resume=path, every=2, on_step=stop_after(last))
    resumed = build()
    again = run(resumed, task, symmetry=symmetry, resume=path, every=2)
    for name, part in unbroken.state_dict().items():
        assert torch.equal(part, resumed.state_dict()[name]) and torch.equal(part, plain.state_dict()[name])
    assert (again.loss, again.accuracy, again.learning_rate) == (history.loss, history.accuracy, history.learning_rate)
    assert path.read_bytes() == whole.read_bytes()


def test_without_the_generator_the_steps_would_be_others(path):
    """The control: what the test above compares does depend on the parts of the state."""
    unbroken, resumed = (KINDS["equivariant"][0]() for _ in range(2))
    run(unbroken)
    with pytest.raises(StopError):
        run(KINDS["equivariant"][0](), resume=path, every=2, on_step=stop_after(5))
    content, tensors = get(path)
    put(path, content, tensors | {"generator": torch.Generator().get_state()})
    run(resumed, resume=path)
    assert not torch.equal(unbroken.m, resumed.m)


@pytest.mark.parametrize("forgotten", ["exp_avg", "exp_avg_sq", "step"])
def test_without_a_part_of_adam_the_steps_would_be_others(forgotten):
    def start():
        x = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        return x, Descent([x], 9, 0.1)

    (x, descent), (y, other), (z, broken) = start(), start(), start()
    for step in range(4):
        descent.take((step + 1) * (x**2).sum())
    tensors, numbers = descent.state()
    for theirs, part in ((y, tensors), (z, tensors | {f"0/{forgotten}": torch.zeros_like(tensors[f"0/{forgotten}"])})):
        theirs.data.copy_(x.data)
        (other if theirs is y else broken).restore({name: value.clone() for name, value in part.items()}, numbers)
    for parameter, each in ((x, descent), (y, other), (z, broken)):
        each.take((parameter**2).sum())
    assert torch.equal(x, y) and not torch.equal(x, z)


def test_a_finished_run_is_given_back_at_once(path):
    first, again = (KINDS["equivariant"][0]() for _ in range(2))
    history = run(first, resume=path)
    seen = []
    assert run(again, resume=path, on_step=lambda step, _: seen.append(step)).loss == history.loss
    assert seen == [12] and torch.equal(first.m, again.m)


def _arguments(folder, steps, every=10):
    where = ["--out", str(folder / "model.safetensors"), "--resume", str(folder / "state.safetensors")]
    small = "--n-points 6 --n-features 2 --n-classes 2 --depth 2 --batch-size 4 --train-queries 2 --n-tasks 10 --json"
    return ["train", *where, *small.split(), "--steps", str(steps), "--every", str(every)]


def test_killed_at_random_moments_and_resumed(tmp_path):
    """SIGKILL, which nothing can catch: 4 times, and 20 with ICL_NB_SLOW."""
    (steps, kills), draw = (2000, 20) if SLOW else (200, 4), random.Random(0)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["icl_nb.cli"])
    folders = {name: tmp_path / name for name in ("whole", "broken")}

    def start(name):
        process = context.Process(target=cli.main, args=(_arguments(folders[name], steps),))
        process.start()
        return process

    start("whole").join()
    state, landed = folders["broken"] / "state.safetensors", 0
    for _ in range(kills):
        process, seen = start("broken"), [state.stat().st_mtime_ns if state.exists() else 0]
        writes, deadline = draw.randint(0, 3), time.monotonic() + 120
        while process.is_alive() and len(seen) <= writes and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns != seen[-1]:
                seen.append(state.stat().st_mtime_ns)
        process.join(draw.uniform(0, 0.05))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            landed += len(seen) > 1
        process.join()
    if not (folders["broken"] / "model.safetensors").exists():
        start("broken").join()
    assert landed > 0, "no kill came in the middle of a run"
    for name in ("model.safetensors", "state.safetensors"):
        assert (folders["whole"] / name).read_bytes() == (folders["broken"] / name).read_bytes()
    curve = load_history(folders["broken"] / "model.safetensors")
    assert set(curve) == {"loss", "accuracy", "learning_rate"} and all(len(part) == steps for part in curve.values())


class Broken(RuleBasedStateMachine):
    """Steps, kills, writes that fail and Ctrl-C in any order; the file is always a whole state of this run."""

    @initialize(kind=st.sampled_from(sorted(KINDS)))
    def begin(self, kind):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = f"{self.folder.name}/state.safetensors"
        self.build, symmetry, task = KINDS[kind]
        self.call = lambda **options: run(self.build(), task, symmetry=symmetry, steps=8, **options)
        self.whole, self.done = self.call().loss, 0

    @rule(steps=st.integers(0, 8), every=st.integers(1, 3))
    def killed(self, steps, every):
        with contextlib.suppress(StopError):
            self.call(resume=self.path, every=every, on_step=stop_after(steps))

    @rule(steps=st.integers(0, 8))
    def interrupted(self, steps):
        with contextlib.suppress(KeyboardInterrupt):
            self.call(resume=self.path, on_step=lambda step, _: step == steps and signal.raise_signal(signal.SIGINT))

    @rule(every=st.integers(1, 3))
    def disk_is_full(self, every):
        def full(_):
            raise OSError(28, "No space left on device")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with contextlib.suppress(ValueError):
                self.call(resume=self.path, every=every)

    @invariant()
    def the_state_is_whole(self):
        if not hasattr(self, "path") or not os.path.exists(self.path):
            return
        with safe_open(self.path, "pt") as file:
            curve = file.get_tensor("curve/loss").tolist()
        assert len(curve) >= self.done and curve == self.whole[: len(curve)]  # never behind what was kept once
        self.done = len(curve)
        assert os.listdir(self.folder.name) == ["state.safetensors"]

    def teardown(self):
        if hasattr(self, "path"):
            assert self.call(resume=self.path).loss == self.whole
            self.folder.cleanup()


TestBroken = Broken.TestCase
TestBroken.settings = settings(
    max_examples=100 if SLOW else 8, stateful_step_count=8, deadline=None, derandomize=not SLOW
)


# Ctrl-C


def test_ctrl_c_saves_and_stops(path):
    model = KINDS["equivariant"][0]()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(model, resume=path, on_step=lambda step, _: step == 5 and signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    with safe_open(path, "pt") as file:
        assert len(file.get_tensor("curve/loss")) == 6 and torch.equal(file.get_tensor("model/m"), model.m)
    unbroken = KINDS["equivariant"][0]()
    run(unbroken)
    run(model, resume=path)
    assert torch.equal(model.m, unbroken.m)


def test_a_second_ctrl_c_does_not_wait():
    with patience() as noted:
        signal.raise_signal(signal.SIGINT)
        assert noted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_patience_in_another_thread_is_none():
    found = []

    def work():
        with patience() as noted:
            found.append(noted)

    thread = threading.Thread(target=work)
    thread.start(), thread.join()
    assert found == [[]]


# Divergence


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_step_seed_and_what_is_kept(value, path, monkeypatch):
    good = KINDS["equivariant"][0]()
    with pytest.raises(StopError):
        run(good, resume=path, every=3, on_step=stop_after(7))
    kept, entropy, asked = path.read_bytes(), torch.nn.functional.cross_entropy, []

    def broken(*arguments):
        asked.append(0)
        return entropy(*arguments) * (value if len(asked) == 3 else 1)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", broken)
    with pytest.raises(DivergenceError, match=f"the loss is {value} at step 8; .*seed=3 comes to it again") as caught:
        run(KINDS["equivariant"][0](), resume=path, every=4)
    assert caught.value.step == 8 and f"{path} keeps the state after step 8" in str(caught.value)
    assert path.read_bytes() != kept  # the state after step 8 was still good
    monkeypatch.undo()
    assert len(run(good, resume=path).loss) == 12


def test_divergence_comes_again_at_the_same_step():
    found = []
    for _ in range(2):
        with pytest.raises(DivergenceError, match="seed=5 comes to it again") as caught:
            run(DenseTransformer(2, 2, 4), learning_rate=1e20, steps=50, seed=5)
        found.append((caught.value.step, str(caught.value)))
    assert found[0] == found[1] and found[0][0] > 0


def test_a_state_with_a_weight_that_is_not_finite_is_not_written(path):
    def poison(step, model):
        if step == 12:
            with torch.no_grad():
                model.m[0, 0, 0] = math.nan

    with pytest.raises(DivergenceError, match="model/m is no longer finite after step 12"):
        run(KINDS["equivariant"][0](), resume=path, every=5, on_step=poison)
    with safe_open(path, "pt") as file:
        assert len(file.get_tensor("curve/loss")) == 10


# What cannot be written or read


def test_a_folder_that_takes_no_file_is_found_before_the_first_step(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        run(KINDS["equivariant"][0](), resume=in_the_way / "state.safetensors", on_step=stop_after(0))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        run(KINDS["equivariant"][0](), resume=tmp_path / "state.safetensors")


def test_a_full_disk_leaves_the_last_state(path):
    """Not a mock: the system refuses a file beyond a size."""
    with pytest.raises(StopError):
        run(KINDS["equivariant"][0](), resume=path, every=2, on_step=stop_after(4))
    kept = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(ValueError, match=r"state\.safetensors cannot be written: "):
            run(KINDS["equivariant"][0](), resume=path, every=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == kept and list(path.parent.iterdir()) == [path]


def test_a_folder_lost_on_the_way_is_made_again(tmp_path):
    path = tmp_path / "a" / "state.safetensors"

    def lose(step, _):
        if step == 4:
            path.unlink(), path.parent.rmdir()

    run(KINDS["equivariant"][0](), resume=path, every=4, on_step=lambda step, model: step == 5 and lose(4, model))
    assert path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "holds another run: seed 3 there, 4 here"),
        ({"steps": 13}, "steps 12 there, 13 here"),
        ({"learning_rate": 0.5}, "learning_rate 0.01 there, 0.5 here"),
        ({"batch_size": 5}, "batch_size 4 there, 5 here"),
        ({"task": LinearTask(7, 2, 2)}, "task LinearTask"),
        ({"model": EquivariantTransformer(2, 2, 3)}, "model EquivariantTransformer.*depth=2.*depth=3"),
        ({"model": EquivariantTransformer(2, 2, 2).double()}, r"dtype torch\.float32 there, torch\.float64 here"),
    ],
    ids=str,
)
def test_the_state_of_another_run_is_refused(change, message, path):
    run(KINDS["equivariant"][0](), resume=path)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        run(**({"model": KINDS["equivariant"][0]()} | change), resume=path)
    assert path.read_bytes() == kept


def test_what_is_no_state_is_refused(path, tmp_path):
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(sprung),)

    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="never a pickle"):
        run(KINDS["equivariant"][0](), resume=path)
    torch.save({"m": Trap()}, path)
    with pytest.raises(ValueError, match="never a pickle"):
        run(KINDS["equivariant"][0](), resume=path)
    assert not sprung.exists()
    save(KINDS["equivariant"][0](), path)
    with pytest.raises(ValueError, match="holds no training run"):
        run(KINDS["equivariant"][0](), resume=path)
    with pytest.raises(ValueError, match="safetensors"):
        run(KINDS["equivariant"][0](), resume="state.pt")
    with pytest.raises(ValueError, match="every=0"):
        run(KINDS["equivariant"][0](), resume=path, every=0)
    path.unlink()
    run(KINDS["equivariant"][0](), resume=path)
    with pytest.raises(ValueError, match="of the format 'icl-nb run 1'"):
        load(path)


def test_every_flipped_byte_of_a_state_is_found(path):
    run(EquivariantTransformer(1, 2, 1, scalars=4), LinearTask(2, 1, 2), resume=path, steps=2)
    complete = path.read_bytes()
    for place in range(0, len(complete), 1 if SLOW else 29):
        path.write_bytes(complete[:place] + bytes([complete[place] ^ 0x15]) + complete[place + 1 :])
        with pytest.raises(ValueError, match=r"state\.safetensors"):
            run(EquivariantTransformer(1, 2, 1, scalars=4), LinearTask(2, 1, 2), resume=path, steps=2)


def test_what_a_killed_process_left_is_swept_up(path):
    left, young = path.parent / f".{path.name}-a1", path.parent / f".{path.name}-b2"
    for file in (left, young):
        file.write_text("half a state")
    os.utime(left, (0, 0))
    sweep_up(path)
    assert list(path.parent.iterdir()) == [young]


def test_alone_there_is_nothing_to_share():
    values = [torch.ones(2)]
    assert add_up(values) is values and my_part(7) == slice(0, 7) and rank() == 0


def test_the_command_trains_saves_and_resumes(tmp_path, capsys):
    assert cli.main(_arguments(tmp_path, 6)) == 0
    (row,) = json.loads(capsys.readouterr().out)
    model = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").unlink()
    assert cli.main(_arguments(tmp_path, 6)) == 0
    assert (tmp_path / "model.safetensors").read_bytes() == model
    assert json.loads(capsys.readouterr().out)[0]["accuracy"] == row["accuracy"]
    assert cli.main(_arguments(tmp_path, 7)) == 2 and "holds another run: steps 6 there" in capsys.readouterr().err
