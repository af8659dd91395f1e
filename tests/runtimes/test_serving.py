"""A process that serves loads the engine and nothing heavy besides, and tells what that took."""

import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from vitc.errors import UserError
from vitc.export import TARGETS
from vitc.export.options import Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.runtimes import RUNTIMES, Runtime, serving
from vitc.runtimes.serving import RUNS, Load, Opened, Serving


class Counting:
    """A session that counts its runs."""

    runs = 0

    def __init__(self, path: Path, _: int | None) -> None:
        self.input_shape: tuple[int | None, ...] = (None, 1, 2, 2)
        self.metadata: dict[str, str] = {"vitc.name": str(path)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        type(self).runs += 1
        return images


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.setattr(Counting, "runs", 0)
    monkeypatch.setitem(RUNTIMES, "counting", Runtime("counting", Counting, None, lambda _: {}, lambda: None))
    return Serving(asdict(Load("counting", "a", threads=1, batch=3)))


def test_opening_runs_always_as_often_and_tells_what_it_took(served: Serving) -> None:
    opened = Opened(**served.open())
    assert Counting.runs == RUNS
    assert opened.batch == 3
    assert opened.load_ms >= 0
    assert opened.first_ms >= 0
    assert opened.idle_mb is None or opened.peak_mb is None or opened.peak_mb >= opened.idle_mb


def test_the_first_run_of_a_turn_is_not_timed(served: Serving) -> None:
    served.open()
    turn = served.turn(4)
    assert Counting.runs == RUNS + 1 + 4
    assert len(turn) == 4
    assert all(nanoseconds > 0 and interruptions >= 0 for nanoseconds, interruptions in turn)


def test_a_turn_is_over_when_the_threads_are_at_rest(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([0.0, 0.005, 0.005, 0.009, 0.009, 0.0091])
    monkeypatch.setattr("time.process_time", lambda: next(busy))
    served._load = replace(served._load, threads=2)
    served.turn(1)
    assert next(busy, None) is None, "looked until hardly any time was taken"


def test_a_thread_that_never_rests_is_not_waited_for_forever(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.process_time", time.perf_counter)
    monkeypatch.setattr(serving, "REST_SECONDS", 0.02)
    served._load = replace(served._load, threads=2)
    assert len(served.turn(1)) == 1


def test_warm_up_goes_on_until_the_median_is_steady_or_the_time_is_up(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter([100] * 5 + [50] * 5 + [30] * 5 + [30] * 5 + [10] * 5)
    monkeypatch.setattr(served, "_timed", lambda: (next(falling), 0))
    assert served.warm_up(60) == 30
    never = iter(range(10**6, 0, -(10**4)))
    monkeypatch.setattr(served, "_timed", lambda: (next(never), 0))
    assert served.warm_up(0) == 10**6 - 2 * 10**4


def test_what_was_interrupted_does_not_tell_the_pace() -> None:
    assert serving._undisturbed([(10, 0), (90, 2), (12, 0), (80, 1), (11, 0)]) == 11
    assert serving._undisturbed([(90, 2), (80, 1)]) == 80


def test_a_stream_counts_what_it_finished(served: Serving) -> None:
    served.open()
    runs, nanoseconds = served.stream(0.01)
    assert runs >= 1
    assert nanoseconds >= 0.01e9


def test_it_describes_what_it_serves(served: Serving) -> None:
    assert served.describe() == {
        "notes": {"vitc.name": "a"},
        "free_batch": True,
        "inputs": (),
        "shape": (3, 1, 2, 2),
        "audit": None,
    }


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_serving_needs_no_torch(target: str, batch: int | None, tmp_path: Path) -> None:
    runtime = TARGETS[target].runtimes[0]
    if problem := RUNTIMES[runtime].missing():
        pytest.skip(problem)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).eval()
    backbone = Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")
    path = TARGETS[target].write(backbone, tmp_path, Options(batch=batch)).path
    code = (
        "import sys; sys.modules['torch'] = None\n"  # importing it fails
        "from vitc.runtimes.serving import Serving\n"
        f"Serving({asdict(Load(runtime, str(path), 1, 2))!r}).open()\n"
        "print(*(name for name, module in sys.modules.items() if module))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert loaded & {runtime, "torch", "timm", "onnx", "vitc.models", "vitc.export"} == {runtime}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "coreml-reference"])
def test_a_missing_file_is_the_users_to_mend(runtime: str, tmp_path: Path) -> None:
    if problem := RUNTIMES[runtime].missing():
        pytest.skip(problem)
    with pytest.raises(UserError):
        Serving(asdict(Load(runtime, str(tmp_path / "missing")))).open()
