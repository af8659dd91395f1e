"""Profile two files that are the same, and one against another with 5 % more work; and memory, in several orders.

    python scripts/same_or_not.py FILE.onnx [--runs 20] [--max-time 60] [--orders 5] [--threads 1] [--out FILE.md]

The file is one that `vitc export` wrote of a plain vision transformer (demo). Twice as many runs as asked for are made:
in turns, a copy and a longer file are held against the original as `vitc profile` does it. The longer file multiplies
outputs of layer norms by the identity, as often as makes 5 % more multiply-adds: it gives the same answers. A run tells
two files apart when its interval leaves 1.00 out. Then the memory of the three is measured, each time in another order.
"""

import argparse
import math
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vitc.atomic import write_text
from vitc.bench import Bench, Subject
from vitc.progress import Progress
from vitc.runtimes import feeds, latency, machine, ort
from vitc.runtimes.audit import macs

MORE = 0.05


@dataclass(frozen=True)
class Run:
    """What one run found."""

    kind: str
    ratio: float
    low: float
    high: float
    p50_ms: float
    lives: int
    stability: float
    interrupted: float
    seconds: float

    @property
    def half_width(self) -> float:
        """In per cent."""
        return 100 * (self.high - self.low) / 2

    @property
    def apart(self) -> bool:
        """Whether its interval leaves 1.00 out."""
        return self.low > 1 or self.high < 1


def longer(file: Path, out: Path) -> float:
    """Write a copy with 5 % more multiply-adds, or a little more than that; how many more it really has."""
    whole = counted(file)
    _insert(file, out, 1)
    _insert(file, out, math.ceil(MORE * whole / (counted(out) - whole)))
    return counted(out) / whole - 1


def counted(file: Path) -> int:
    """The multiply-adds that onnxruntime executes."""
    with ort.OrtSession(file, 1) as session:
        image = feeds.noise(session, 1, 0)
    return sum(macs(kernel) for kernel in ort.executed(file, image))


def _insert(file: Path, out: Path, count: int) -> None:
    """Multiply outputs of layer norms by the identity, in so many places."""
    model = onnx.load(file)
    graph = model.graph
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"][:-1]  # the last one sees the class
    (width,) = {one.dims[0] for one in graph.initializer if one.name in {norm.input[1] for norm in norms}}
    graph.initializer.append(numpy_helper.from_array(np.eye(width, dtype=np.float32), "identity"))
    for index in range(count):
        norm = norms[index % len(norms)]
        wanted, norm.output[0] = norm.output[0], f"{norm.output[0]}_{index}"
        place = list(graph.node).index(norm) + 1
        graph.node.insert(place, helper.make_node("MatMul", [norm.output[0], "identity"], [wanted]))
    onnx.save(model, out)


def run(file: Path, other: Path, kind: str, bench: Bench) -> Run:
    """One file held against another."""
    start = time.monotonic()
    subjects = [Subject(name, path, ort.NAME, "one") for name, path in (("one", file), ("other", other))]
    _, row = bench.measure(subjects, Progress())
    times, found = row["latency_ms"], row["speedup"]
    return Run(
        kind,
        found["ratio"],
        low=found["ci95"][0],
        high=found["ci95"][1],
        p50_ms=times["p50"],
        lives=times["lives"],
        stability=times["stability_pct"],
        interrupted=times["interrupted_pct"],
        seconds=time.monotonic() - start,
    )


def peaks(files: Sequence[Path], bench: Bench, orders: int) -> dict[str, list[float]]:
    """The peaks of every file, its memory measured in as many orders."""
    found: dict[str, list[float]] = {file.name: [] for file in files}
    for order in islice(latency.orders(list(found), 0), orders):
        paths = {file.name: file for file in files}
        subjects = [Subject(name, paths[name], ort.NAME, name) for name in order]
        for row in bench.measure(subjects, Progress()):
            found[row["artifact"]].append(row["peak_rss_mb"])
    return found


def summed_up(kind: str, found: Sequence[Run], seconds: float) -> str:
    """How often a kind of file was told from the original, and how narrow the intervals were."""
    mine = [run for run in found if run.kind == kind]
    apart = sum(run.apart for run in mine)
    widths = sorted(run.half_width for run in mine)
    return (
        f"- {kind}: the interval leaves 1.00 out in {apart} of {len(mine)} runs and holds it in {len(mine) - apart}; "
        f"half-widths {widths[0]:.1f} to {widths[-1]:.1f} %, half of them up to {median(widths):.1f} %; "
        f"{sum(width <= 3 for width in widths)} of {len(widths)} at most 3 %; at most {seconds:g} s a run"
    )


def table(found: Sequence[Run]) -> Iterator[str]:
    """A row for every run."""
    yield from (
        "| held against the file | ratio | half-width | p50 | lives | steady | cut off | took |",
        "|" + " --- |" * 8,
    )
    for one in found:
        ratio = f"{one.ratio:.3f} [{one.low:.3f}, {one.high:.3f}] | {one.half_width:.1f} %"
        shares = f"{one.stability:.0f} % | {one.interrupted:.0f} %"
        yield f"| {one.kind} | {ratio} | {one.p50_ms:.2f} ms | {one.lives} | {shares} | {one.seconds:.0f} s |"


def memory(held: dict[str, list[float]]) -> Iterator[str]:
    """The peaks, and how far they lie apart."""
    yield from ("| file | peak MB, run by run | apart |", "| --- | --- | --- |")
    for name, found in held.items():
        apart = 100 * (max(found) / min(found) - 1)
        yield f"| {name} | {', '.join(f'{one:.1f}' for one in found)} | {apart:.1f} % |"


def main() -> None:
    """Print each run as it comes, and write all of it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--max-time", type=float, default=60)
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a Markdown file")
    args = parser.parse_args()
    here = machine.describe(("onnxruntime", "numpy"))
    command = shlex.join(["python", "scripts/same_or_not.py", *sys.argv[1:]])
    versions = ", ".join(f"{name} {version}" for name, version in here.packages.items())
    where = f"{here.cpu}, {here.cores} cores ({' '.join(here.isa)}), {here.os}; {versions}"
    lines = ["# Same or not: two identical files, and one with 5 % more work", ""]
    lines += [f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {where}", ""]
    with tempfile.TemporaryDirectory() as folder:
        same, more = (Path(folder) / name for name in ("same.onnx", "longer.onnx"))
        shutil.copy(args.file, same)
        kinds = {"a copy": same, f"{100 * longer(args.file, more):.1f} % more multiply-adds": more}
        bench = Bench(args.threads, max_time=args.max_time)
        print("\n".join(lines), flush=True)
        found = []
        for index in range(2 * args.runs):
            kind = list(kinds)[index % 2]
            found.append(run(args.file, kinds[kind], kind, replace(bench, seed=index)))
            print(found[-1], flush=True)
        held = peaks([args.file, same, more], replace(bench, max_time=1), args.orders)
    lines += [summed_up(kind, found, args.max_time) for kind in kinds]
    lines += ["", "## Memory, in several orders", "", *memory(held), "", "## Run by run", "", *table(found)]
    print("\n".join(lines))
    if args.out:
        write_text(args.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
