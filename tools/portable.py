"""Run notebooks, unit tests and doctests as other processors would, and say what came out.

Use it through `make test-portable`. Each setting is a set of environment variables, or a seed for tools/jitter.py,
under which rounding differs from this machine's own. A part that has passed is not run again until a file that it rests
on changes, so that a run which was stopped goes on where it was.
"""

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
RESULTS = ROOT / "_build" / "portable"
RECORD = BOOK / "portability.json"  # what the status page shows
UNITS = "tests"  # the name of the part that is no notebook

# What a process finds of itself under a setting, to see whether the setting took.
PROBE = """
import json, threadpoolctl, torch
import numpy._core._multiarray_umath as umath, scipy.linalg
print(json.dumps({
    "openblas": sorted({i["architecture"] for i in threadpoolctl.threadpool_info() if i["internal_api"] == "openblas"}),
    "aten": torch.backends.cpu.get_cpu_capability(),
    "mkl": torch.backends.mkl.is_available(),
    "numpy": [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]],
    "threads": torch.get_num_threads(),
}))
"""


@dataclass(frozen=True)
class Setting:
    """Variables of the environment, options of pytest, and what the probe must find for the setting to be in force."""

    variables: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    took: Callable[[dict], bool] = lambda found: True


def _openblas(core: str, *shown: str) -> Setting:
    """A kernel of OpenBLAS; it reports some under the name of another one, which has the same code."""
    return Setting({"OPENBLAS_CORETYPE": core}, took=lambda found: set(found["openblas"]) <= {core, *shown})


def _aten(capability: str) -> Setting:
    return Setting({"ATEN_CPU_CAPABILITY": capability}, took=lambda found: found["aten"].lower() == capability)


def settings(numpy_features: list[str]) -> dict[str, Setting]:
    """All of them by name. NumPy's own loops are switched off by naming every feature that this machine has."""
    prescott, default = _openblas("Prescott", "Katmai"), _aten("default")
    return {
        "prescott": prescott,
        "nehalem": _openblas("Nehalem"),
        "sandybridge": _openblas("Sandybridge"),
        "haswell": _openblas("Haswell"),
        "zen": _openblas("Zen", "Haswell"),
        "skylakex": _openblas("SkylakeX"),
        "aten-default": default,
        "aten-avx2": _aten("avx2"),
        "mkl-compatible": Setting({"MKL_CBWR": "COMPATIBLE"}, took=lambda found: found["mkl"]),
        "numpy-baseline": Setting(
            {"NPY_DISABLE_CPU_FEATURES": " ".join(numpy_features)},
            took=lambda found: bool(numpy_features) and not found["numpy"],
        ),
        "two-threads": Setting({"OMP_NUM_THREADS": "2"}, took=lambda found: found["threads"] == 2),
        **{f"jitter-{seed}": Setting(options=("--jitter", str(seed))) for seed in range(3)},
        "distant": Setting(
            prescott.variables | default.variables,
            ("--jitter", "3"),
            lambda found: prescott.took(found) and default.took(found),
        ),
    }


def environment(setting: Setting) -> dict[str, str]:
    """This process's environment under a setting; a kernel that the machine itself asks for is not inherited."""
    ours = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "PYTEST_ADDOPTS")}
    return {"OMP_NUM_THREADS": "1", **ours, **setting.variables, "PYTHONPATH": str(ROOT)}


def probe(setting: Setting) -> dict:
    """What a fresh process finds under a setting."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment(setting), capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"a process does not start under {setting.variables}: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout.splitlines()[-1])


def fingerprint(part: Path | str) -> str:
    """Of all files that the outcome of a part rests on."""
    shared = [*ROOT.glob("icl_nb/**/*"), *ROOT.glob("tools/*.py"), ROOT / "conftest.py", ROOT / "pyproject.toml"]
    own = [*ROOT.glob("tests/*"), *BOOK.glob("*")] if part == UNITS else [part]
    digest = hashlib.sha256()
    for path in sorted({*shared, *own}):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def run_part(name: str, setting: Setting, part: Path | str) -> dict:
    """The outcome of one part under one setting: `passed`, `skipped`, `failed` (names of tests), `seconds`."""
    label = part if part == UNITS else part.stem
    kept = RESULTS / name / f"{label}-{fingerprint(part)}.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    kept.parent.mkdir(parents=True, exist_ok=True)
    report = kept.with_suffix(".xml")
    files = ["tests", "icl_nb"] if part == UNITS else [str(part.relative_to(ROOT))]
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", f"--junitxml={report}"]
    run = subprocess.run(
        [*command, *setting.options, *files],
        cwd=ROOT,
        env=environment(setting),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {run.returncode} on {label} under {name}:\n{run.stdout}{run.stderr}")
    suite = ET.parse(report).getroot().find("testsuite")
    faulty = [case.get("name") for case in suite if case.find("failure") is not None or case.find("error") is not None]
    skipped = int(suite.get("skipped"))
    outcome = {
        "part": label,
        "passed": int(suite.get("tests")) - skipped - len(faulty),
        "skipped": skipped,
        "failed": faulty,
        "seconds": round(float(suite.get("time"))),
    }
    report.unlink()
    if faulty:  # not kept as done: it is to be run again
        kept.with_suffix(".log").write_text(run.stdout, encoding="utf-8")
        print(run.stdout, flush=True)
    else:
        unfinished = kept.with_suffix(".part")
        unfinished.write_text(json.dumps(outcome), encoding="utf-8")
        unfinished.replace(kept)
    return outcome


def summary(outcomes: dict[str, list[dict]], absent: list[str]) -> str:
    """A row for each setting: how many tests and cells passed, were skipped, failed, and which failed."""
    lines = [f"{'setting':16} {'passed':>7} {'skipped':>8} {'failed':>7}"]
    for name, results in outcomes.items():
        faulty = [f"{result['part']}: {case}" for result in results for case in result["failed"]]
        passed, skipped = (sum(result[key] for result in results) for key in ("passed", "skipped"))
        lines.append(f"{name:16} {passed:7} {skipped:8} {len(faulty):7}" + "".join(f"\n    {case}" for case in faulty))
    return "\n".join([*lines, *(f"{name:16} not run: this machine does not know it" for name in absent)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="notebooks, `book` for all of them, `tests` (default: book tests)")
    parser.add_argument("--settings", help="names, with commas between them (default: all that this machine knows)")
    parser.add_argument("--jobs", type=int, default=2, help="parts that run at the same time (default: 2)")
    parser.add_argument("--record", action="store_true", help=f"write the outcomes to {RECORD.relative_to(ROOT)}")
    options = parser.parse_args()
    known = settings(probe(Setting())["numpy"])
    asked = options.settings.split(",") if options.settings else list(known)
    if wrong := set(asked) - set(known):
        parser.error(f"no setting {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    parts: list[Path | str] = []
    for part in options.parts or ["book", UNITS]:
        if part == UNITS:
            parts.insert(0, UNITS)  # the longest first
        elif (found := Path(part).resolve()) == BOOK:
            parts += sorted(BOOK.glob("*.ipynb"))
        elif found.parent == BOOK and found.suffix == ".ipynb" and found.is_file():
            parts.append(found)
        else:
            parser.error(f"{part} is no notebook of {BOOK.relative_to(ROOT)}, nor `book` or `tests`")

    absent = [name for name in asked if not known[name].took(probe(known[name]))]
    if options.settings and absent:
        parser.error(f"this machine does not know {', '.join(absent)}")
    # The random samples of unit tests are their own affair: there jitter moves nothing.
    pairs = [
        (name, known[name], part)
        for name in asked
        if name not in absent
        for part in parts
        if part != UNITS or not known[name].options
    ]
    outcomes: dict[str, list[dict]] = {name: [] for name, *_ in pairs}
    for threads in (1, 2):  # processes of two threads have twice the room
        group = [pair for pair in pairs if (pair[1].variables.get("OMP_NUM_THREADS") == "2") == (threads == 2)]
        with ThreadPoolExecutor(max(1, options.jobs // threads)) as pool:
            for (name, *_), outcome in zip(group, pool.map(lambda pair: run_part(*pair), group), strict=True):
                outcomes[name].append(outcome)
                verdict = "FAILED" if outcome["failed"] else "passed"
                print(f"{name:16} {outcome['part']:28} {outcome['seconds']:5} s  {verdict}", flush=True)
    print("\n" + summary(outcomes, absent))
    if options.record:
        record(outcomes)
    return int(any(result["failed"] for results in outcomes.values() for result in results))


def record(outcomes: dict[str, list[dict]]) -> None:
    """Note for the status page what was run, when, and how it ended; settings that were not run stay as they were."""
    rows = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for name, results in outcomes.items():
        rows[name] = {
            "date": today,
            "notebooks": sum(result["part"] != UNITS for result in results),
            "tests": any(result["part"] == UNITS for result in results),
            "passed": sum(result["passed"] for result in results),
            "failed": sum(len(result["failed"]) for result in results),
        }
    RECORD.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
