"""Jobs side by side: every result once, one thread each, no worker left, on this machine and on a cluster."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from icl_nb.runs.engine import BACKENDS, run_all, take_shard


def threads(_=None):
    return os.getpid(), torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")


def boom(_):
    raise ValueError("boom")


def test_in_this_process():
    found = dict(run_all(threads, {"a": (1,), "b": (2,)}, n_jobs=1))
    assert {found[name][0] for name in "ab"} == {os.getpid()}


def test_workers_have_one_thread_each_and_do_every_job_once():
    found = list(run_all(threads, {str(number): (number,) for number in range(6)}, n_jobs=2))
    assert sorted(name for name, _ in found) == [str(number) for number in range(6)]
    assert os.getpid() not in {value[0] for _, value in found}
    assert {value[1:] for _, value in found} == {(1, "1")}


def test_an_error_of_a_job_is_the_error_of_the_call():
    with pytest.raises(ValueError, match="boom"):
        list(run_all(boom, {"a": (1,), "b": (2,)}, n_jobs=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_jobs": 0}, "jobs=0"),
        ({"backend": "spark"}, "backend='spark'; it must be one of loky, dask"),
        ({"backend": "dask"}, "a scheduler's address goes with the backend dask"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "a scheduler's address goes with the backend dask"),
        ({"backend": "dask", "scheduler": "nowhere://"}, "no scheduler answers at 'nowhere://'"),
    ],
    ids=str,
)
def test_refused_before_any_job(options, message):
    with pytest.raises(ValueError, match=message):
        run_all(threads, {"a": (1,)}, **options)
    assert BACKENDS == ("loky", "dask")


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_shards_share_everything_out(n):
    names = [str(number) for number in range(5)]
    shards = [take_shard(names, f"{i}/{n}") for i in range(1, n + 1)]
    assert sorted(name for shard in shards for name in shard) == names and take_shard(names, None) == names


@pytest.mark.parametrize(
    "shard", ["", "1", "/", "0/2", "3/2", "-1/2", "1/2/3", "a/b", "1/0", "1.0/2", "²/3", "1/" + "9" * 99]
)
def test_shards_refused(shard):
    with pytest.raises(ValueError, match="it must be i/n with i from 1 to n"):
        take_shard(["a"], shard)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet fetched does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


SLEEPERS = """
    import os, sys, time
    from pathlib import Path
    from icl_nb.runs import engine

    def sleep(folder):
        Path(folder, str(os.getpid())).write_text("")
        time.sleep(600)

    if __name__ == "__main__":
        try:
            list(engine.run_all(sleep, {"a": (sys.argv[1],), "b": (sys.argv[1],)}, n_jobs=2))
        except KeyboardInterrupt:
            sys.exit(130)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_no_worker_is_left_behind(how, tmp_path):
    """A call that is interrupted ends at once and takes its workers along; so it does when it is killed."""
    script, folder = tmp_path / "sleepers.py", tmp_path / "pids"
    folder.mkdir()
    script.write_text(textwrap.dedent(SLEEPERS))
    call = subprocess.Popen(
        [sys.executable, script, folder],
        start_new_session=True,
        stderr=subprocess.PIPE,
        # Where these tests run in the background, the shell has them ignore Ctrl-C, and all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        workers = [int(path.name) for path in folder.iterdir()]
        assert all(map(alive, workers))
        # From a terminal Ctrl-C goes to all processes of the call.
        os.killpg(call.pid, how) if how == signal.SIGINT else os.kill(call.pid, how)
        assert call.wait(120) == (130 if how == signal.SIGINT else -signal.SIGKILL)
        wait_for(lambda: not any(map(alive, workers)))
        if how == signal.SIGINT:
            assert b"Traceback" not in call.stderr.read()
    finally:
        call.stderr.close()
        if call.poll() is None:
            call.kill()
            call.wait()


def wait_for(condition, seconds=180):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + seconds, "waited in vain"
        time.sleep(0.1)
