"""Independent jobs, side by side: processes of this machine, or the workers of a Dask cluster, both through joblib."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from icl_nb.checks import check_count

Name = TypeVar("Name")
Result = TypeVar("Result")

BACKENDS = ("loky", "dask")


def run_all(
    function: Callable[..., Result],
    jobs: dict[str, tuple],
    *,
    n_jobs: int = 2,
    backend: str = "loky",
    scheduler: str | None = None,
) -> Iterator[tuple[str, Result]]:
    """Call a function with the arguments of each job, and yield names and results as they come.

    Each worker has one thread. A worker that is lost costs its job a second try on a cluster. Whoever stops listening,
    by Ctrl-C for one, leaves no worker behind.

    Arguments:
        function: of a module, so that a worker can import it.
        jobs: arguments by name. Small ones, configurations and paths: they travel.
        n_jobs: processes of this machine. With one, all happens in this process.
        backend: "loky" for this machine, "dask" for a cluster.
        scheduler: the address of Dask's scheduler, tcp://host:port.

    Raises:
        ValueError: a count out of range, an unknown backend, no such scheduler, or Dask is not installed.

    Example:
        >>> sorted(run_all(pow, {"four": (2, 2), "eight": (2, 3)}, n_jobs=1))
        [('eight', 8), ('four', 4)]
    """
    check_count("jobs", n_jobs, 1)
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}; it must be one of {', '.join(BACKENDS)}")
    if (scheduler is not None) != (backend == "dask"):
        raise ValueError("a scheduler's address goes with the backend dask, and that with an address")
    return _listen(function, jobs, n_jobs, _client(scheduler) if scheduler else None)


def take_shard(names: list[Name], shard: str | None) -> list[Name]:
    """Those names that fall to one of several calls, "1/4" to "4/4": every fourth.

    Arguments:
        names: all of them, in an order that every call knows.
        shard: "i/n", or None for all.

    Raises:
        ValueError: it is no such text.

    Example:
        >>> take_shard(["a", "b", "c", "d", "e"], "2/4")
        ['b']
    """
    if shard is None:
        return names
    one, slash, of = shard.partition("/")
    # Digits of ASCII, and few of them: int() reads more than a number of calls can be.
    if not slash or not all(part.isascii() and part.isdigit() and len(part) < 8 for part in (one, of)):
        raise ValueError(f"shard={shard!r}; it must be i/n with i from 1 to n, such as 2/4")
    if not 1 <= int(one) <= int(of):
        raise ValueError(f"shard={shard!r}; it must be i/n with i from 1 to n, such as 2/4")
    return names[int(one) - 1 :: int(of)]


def _listen(
    function: Callable[..., Result], jobs: dict[str, tuple], n_jobs: int, client
) -> Iterator[tuple[str, Result]]:
    import joblib
    from joblib.externals.loky import get_reusable_executor

    if client:
        where = joblib.parallel_config("dask", client=client, wait_for_workers_timeout=60)
    elif n_jobs == 1:
        where = joblib.parallel_config("sequential")
    else:
        where = joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1)
    finished = False
    try:
        with where:
            # One job a message: what is done is known at once, and what a lost worker held is one job.
            pool = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
            parent = os.getpid()
            yield from pool(joblib.delayed(_call)(parent, name, function, *given) for name, given in jobs.items())
        finished = True
    finally:
        if client:
            client.close()
        elif n_jobs > 1:
            get_reusable_executor(max_workers=n_jobs).shutdown(wait=finished, kill_workers=not finished)


def _call(parent: int, name: str, function: Callable[..., Result], *given) -> tuple[str, Result]:
    if os.getpid() != parent:
        import torch

        torch.set_num_threads(1)
        if os.getppid() == parent:
            _die_with(parent)
    return name, function(*given)


def _die_with(parent: int) -> None:
    """Ctrl-C is for the parent, which ends its workers; and where it is killed itself they end on their own."""
    if any(thread.name == "die-with-parent" for thread in threading.enumerate()):
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()


def _client(scheduler: str):
    try:
        from distributed import Client
        from joblib import _dask  # noqa: F401
    except ImportError:
        raise ValueError(
            "the backend dask needs the packages dask and distributed: pip install 'icl-nb[dask]'"
        ) from None
    try:
        return Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"no scheduler answers at {scheduler!r}: {' '.join(str(error).split())}") from None
