"""Kill runs at random moments with SIGKILL, resume them, and hold what they leave against an undisturbed run's.

    python scripts/kill_resume.py --kills 10

A line a kill says where it struck. The exit code is 0 only if every run ended byte-identical. A moment is a stage,
drawn at random, and a point in the time that the stage took when nothing disturbed it; the last "stage" is the writing
of the record. By default each run is killed once; `--runs 1` has one run killed again and again.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORDS = ["demo", "--data", "demo:48", "--calib-images", "8", "--max-time", "1", "--resume"]
COMMAND = [sys.executable, "-m", "vitc", "compress", *WORDS]
KEPT = ("model.pt2", "onnx/model.onnx", "fp32/onnx/model.onnx", "predictions.npz")
"""What must come out the same, byte by byte."""


@dataclass(frozen=True, order=True)
class Moment:
    """`delay` seconds after so many stages of the run were finished."""

    finished: int
    delay: float


def main() -> int:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--runs", type=int, help="how many runs the kills are dealt to (default: as many as kills)")
    parser.add_argument("--against", type=Path, help="a finished run of the same command (default: make one)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = given.against or Path(folder) / "undisturbed"
        if not given.against:
            finish(undisturbed)
        moments = draw(undisturbed, given.kills, given.seed)
        runs = min(given.runs or given.kills, given.kills)
        outcomes = [
            disturb(Path(folder) / f"run-{number}", sorted(moments[number::runs]), undisturbed)
            for number in range(runs)
        ]
    print(f"{sum(outcomes)} of {runs} runs are byte-identical after {given.kills} kills")
    return 0 if all(outcomes) else 1


def draw(undisturbed: Path, count: int, seed: int) -> list[Moment]:
    """Moments in different stages, as long as there are enough of them."""
    stages = json.loads((undisturbed / "record.json").read_text("utf-8"))["stages"]
    seconds = [stage["seconds"] for stage in stages] + [0.0]
    source = np.random.default_rng(seed)
    rounds = -(-count // len(seconds))
    chosen = [int(index) for _ in range(rounds) for index in source.permutation(len(seconds))]
    return [Moment(index, source.uniform(0, seconds[index])) for index in chosen[:count]]


def disturb(run: Path, moments: list[Moment], undisturbed: Path) -> bool:
    """Kill a run at the moments, let it finish, and say how it ended."""
    for moment in moments:
        kill(run, moment)
        left = [path.relative_to(run).as_posix() for path in run.rglob("*.partial")]
        print(
            f"{run.name}: killed {moment.delay:.2f} s after stage {moment.finished}, half-written: {left or 'nothing'}"
        )
    reused = finish(run).count("reused from an earlier run")
    differing = [name for name in KEPT if (run / name).read_bytes() != (undisturbed / name).read_bytes()]
    differing += [path.name for path in run.rglob("*.partial")]
    print(f"{run.name}: resumed, {reused} stages reused, differing: {differing or 'nothing'}", flush=True)
    return not differing


def kill(run: Path, moment: Moment) -> None:
    """Start or resume the run and kill it at the moment; anew and sooner where it ended before that."""
    with subprocess.Popen([*COMMAND, "--out", run, "-q"], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and finished(run) < moment.finished:
            time.sleep(0.005)
        try:
            process.wait(moment.delay)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.returncode == 0:
        shutil.rmtree(run)
        kill(run, Moment(moment.finished, moment.delay / 2))
    elif process.returncode != -signal.SIGKILL:
        raise subprocess.CalledProcessError(process.returncode, process.args)


def finished(run: Path) -> int:
    """How many stages of the run are finished; -1 before it has begun."""
    notes = run / ".stages"
    return len(list(notes.glob("*.json"))) if notes.is_dir() else -1


def finish(run: Path) -> str:
    """Have the run finished, and return what it said."""
    done = subprocess.run(
        [*COMMAND, "--out", run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True, text=True
    )
    return done.stderr


if __name__ == "__main__":
    sys.exit(main())
