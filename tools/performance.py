"""Write the page of the book that shows how fast the package is, from figures that are stored beside it.

`make bench` measures anew; a test compares the page with what this writes of the stored figures.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

SWEEPS = "oracle's sweeps to an independent draw"  # as `icl_nb.runs.bench` calls the row

BOOK = Path(__file__).resolve().parent.parent / "book"
FIGURES = BOOK / "performance.json"

HEAD = """# How fast it is

Measured on {date} on {machine}, torch {torch}, one thread, with {load:.1f}
processes asking for {cores} cores: {busy}
A time is what the process itself spent computing. All contenders of a table take their turns in one run, so that
what else the machine does hits all of them, and a ratio says more than a time. It is the median of the ratios within
the {rounds} rounds, which need not be the ratio of the two medians; the range beside it holds their middle half.
`make bench` repeats all of it on your machine and writes this page;
`icl-nb bench --json` gives the numbers alone, and `--device cuda` those of a GPU, which
nobody has stored here yet.
"""

# What the oracle took beside a logistic regression, on an AMD EPYC, while it drew in every sweep, with torch; and by
# how much longer its chains must have been for the error that they have now (0.0140 then, 0.0131 now).
BEFORE, LONGER = 3.18, (0.0140 / 0.0131) ** 2

BUSY = "**the machine was busy**, and caches were shared, so that an idle one is faster."
IDLE = "the machine was idle."

TARGETS = """
## What was aimed at, and what was missed

{targets}
"""


def measure() -> dict:
    """All rows, and what they were measured on."""
    import torch

    from icl_nb.runs.bench import bench

    torch.set_num_threads(1)
    rounds = 9
    rows = list(bench(rounds=rounds))
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": _processor(),
        "torch": torch.__version__.partition("+")[0],
        "cores": os.cpu_count(),
        "rounds": rounds,
        "load": os.getloadavg()[0],
        "rows": rows,
    }


def page(found: dict) -> str:
    """The page of stored figures."""
    rows = {part: [row for row in found["rows"] if row["part"] == part] for part in ("machine", "training", "answers")}
    growth = [row for row in found["rows"] if row["part"] == "growth"]
    busy = found["load"] > 0.75 * found["cores"] + 1
    text = [HEAD.format(**found | {"busy": BUSY if busy else IDLE})]
    product, exponential = rows["machine"]
    text.append(
        f"\n## The machine\n\nA product of two 512 x 512 matrices in float32 runs at {product['gflops']:.0f} GFLOP/s, "
        f"and an exponential takes {exponential['ns']:.2f} ns. The time that a training step needs for both, "
        'one after the other, is the least that it can take; "achieved" is that share of what it took.\n'
    )
    text.append("\n## A training step\n\nForward, backward and Adam on one batch: tasks x points + queries.\n")
    for size in dict.fromkeys(row["size"] for row in rows["training"]):
        ours = next(row for row in rows["training"] if row["size"] == size and row["what"] == "ours")
        text.append(f"\n**{size}**, achieved {100 * ours['achieved']:.0f} %\n\n")
        text.append(_table([row for row in rows["training"] if row["size"] == size], "ours"))
    text.append("\n## An answer\n\nMilliseconds a task of 40 points and 16 queries, twelve layers of three heads.\n")
    for size in dict.fromkeys(row["size"] for row in rows["answers"] if "size" in row):
        text.append(f"\n**{size}**\n\n")
        ours = [row for row in rows["answers"] if row.get("size") == size]
        text.append(_table(ours, "logistic regression", digits=3))
    text.append(
        "\n## Growth\n\nHow time and peak memory of an answer grow with one size while all others stay, as exponents "
        "of a power of that size. Over a short range of sizes fixed costs pull an exponent below what it will be.\n\n"
        "| what | from | to | time | memory | MiB at the end |\n|:--|--:|--:|--:|--:|--:|\n"
    )
    for row in growth:
        name = row["what"].replace("n_", "").replace("_", " ")
        text.append(
            f"| {name} | {row['from']} | {row['to']} | {row['time_exponent']:.2f} | {row['memory_exponent']:.2f} "
            f"| {row['mib']:.1f} |\n"
        )
    text.append(
        "\nFrom 96 context points on a model answers without ever holding the attention of all "
        "points, and the recursion always works in blocks, so that memory can grow no faster than n there "
        "and time than n²; at these sizes fixed costs still hide part of it.\n"
    )
    text.append(TARGETS.format(targets="\n".join(_targets(rows))))
    return "".join(text)


def _targets(rows: dict) -> list[str]:
    lines = []
    for size in dict.fromkeys(row["size"] for row in rows["training"]):
        ratio = {row["what"]: row["ratio"] for row in rows["training"] if row["size"] == size}
        attention, product = ratio["MultiheadAttention"], ratio["scaled_dot_product_attention"]
        lines.append(
            f"- {size}: {attention:.2f} times as fast as `MultiheadAttention` (2 was the aim: {_met(attention >= 2)}), "
            f"{product:.2f} times as fast as `scaled_dot_product_attention` (1: {_met(product >= 1)})."
        )
    for name, aim in (("Recursion", 6), ("torch", 15)):
        times = {row["size"]: 1 / row["ratio"] for row in rows["answers"] if row["what"] == name}
        each = " and ".join(f"{many:.2f} ({size}: {_met(many >= aim)})" for size, many in times.items())
        lines.append(f"- `{name}` was to answer {aim} times as fast as a logistic regression; it is {each}.")
    oracle = {row["what"]: row for row in rows["answers"]}  # of which the oracle has one size alone
    ms, ratio = oracle["oracle"]["ms"], oracle["oracle"]["ratio"]
    gain = BEFORE * LONGER / ratio
    lines.append(
        f"- The oracle takes {ms:.1f} ms a task, {ratio:.2f} logistic regressions, and was to become five times as "
        f"fast at equal error. While it drew in every sweep, with torch, it took {BEFORE * LONGER:.2f} of them for the "
        f"same error: {gain:.1f} times ({_met(gain >= 5)}). {oracle[SWEEPS]['sweeps']:.1f} of its sweeps are worth an "
        "independent draw, where 3.4 were before."
    )
    return lines


def _met(yes: bool) -> str:
    return "met" if yes else "missed"


def _table(rows: list[dict], first: str, digits: int = 1) -> str:
    lines = [f"| what | ms | times {first} | middle half |", "|:--|--:|--:|--:|"]
    for row in rows:
        span = "" if row["what"] == first else f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        lines.append(f"| {row['what']} | {row['ms']:.{digits}f} | {row['ratio']:.2f} | {span} |")
    return "\n".join(lines) + "\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure on this machine first, some minutes")
    if parser.parse_args().measure:
        FIGURES.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    (BOOK / "performance.md").write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
