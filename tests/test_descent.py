"""The steps of several processes are those of one."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from icl_nb.checks import TOLERANCE
from icl_nb.cli import main
from icl_nb.descent import Descent
from icl_nb.models.files import load_history


def start(processes, out, *options):
    """The command, in this process or in several under `torchrun`; what these say."""
    size = "--n-points 8 --n-features 3 --n-classes 2 --depth 2 --train-queries 4 --n-tasks 10 --json"
    training = f"--steps 100 --batch-size 7 --out {out}"
    arguments = ["train", *size.split(), *training.split(), *options]
    if processes == 1:
        assert main(arguments) == 0
        return ""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launch, "-m", "icl_nb", *arguments]
    run = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch was built without")
@pytest.mark.parametrize("options", [(), ("--kind", "ordinary", "--symmetry", "injection", "--learning-rate", "1e-3")])
def test_two_processes_give_the_losses_of_one(options, tmp_path):
    """To 1e-5 over 100 steps, although seven tasks do not go into two equal parts; and one of them speaks."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    start(1, one, *options)
    said = start(2, two, *options)
    assert said.count('"accuracy"') == 1
    alone, shared = load_history(one), load_history(two)
    assert np.abs(alone["loss"] - shared["loss"]).max() < 1e-5 and alone["loss"][-1] != alone["loss"][0]
    assert np.allclose(alone["accuracy"], shared["accuracy"], atol=1e-12)


def test_gradients_of_parts_add_up_to_that_of_the_whole():
    """What `add_up` is for: weighted by their shares, the means of the parts are the mean."""
    x = torch.randn(7, 3, dtype=torch.float64)
    theta = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    (whole,) = torch.autograd.grad((x @ theta).square().mean(), theta)
    parts = [
        torch.autograd.grad((x[part] @ theta).square().mean() * len(x[part]) / 7, theta)[0]
        for part in (slice(0, 3), slice(3, 7))
    ]
    assert torch.allclose(whole, sum(parts), rtol=TOLERANCE[torch.float64])


@pytest.mark.parametrize(
    "change",
    [{"done": -1}, {"done": 10}, {"done": None}, {"groups": []}, {"groups": [{}]}, {"groups": 3}],
    ids=str,
)
def test_the_state_of_another_descent_is_refused(change):
    x = torch.nn.Parameter(torch.ones(2))
    descent = Descent([x], 9, 0.1)
    descent.take(x.square().sum())
    tensors, numbers = descent.state()
    with pytest.raises(ValueError, match="state is that of another descent"):
        Descent([x], 9, 0.1).restore(tensors, numbers | change)
    with pytest.raises(ValueError, match="state is that of another descent"):
        Descent([torch.nn.Parameter(torch.ones(3))], 9, 0.1).restore(tensors, numbers)
