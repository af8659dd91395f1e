"""Whatever happens to a worker happens to nobody else, and is told in one line. The targets are found by name."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitc.errors import UserError, VerificationFailed
from vitc.runtimes import machine
from vitc.runtimes.serving import Serving
from vitc.runtimes.worker import Worker


def gone(process: int) -> bool:
    """Whether it ends within a few seconds."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_worker_makes_its_target_and_is_asked_for_its_methods(tmp_path: Path) -> None:
    with Worker(Path, [str(tmp_path)]) as worker:
        assert worker.ask("as_posix") == tmp_path.as_posix()
        worker.begin("is_file")
        assert worker.answer() is False


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_one_that_is_killed_says_by_what() -> None:
    for target, args, said in (
        (signal.raise_signal, [9], r"ended by SIGKILL \(out of memory\?\)"),
        (os.abort, [], "ended by SIGABRT"),
        (signal.raise_signal, [11], "ended by SIGSEGV"),
    ):
        with pytest.raises(VerificationFailed, match=said), Worker(target, args) as worker:
            worker.ask("anything")


def test_one_that_raises_says_what() -> None:
    with pytest.raises(VerificationFailed, match=r"^JSONDecodeError: "), Worker(json.loads, ["{"]) as worker:
        worker.ask("anything")


def test_one_that_leaves_early_says_so() -> None:
    for code in (0, 3):
        with pytest.raises(VerificationFailed, match=f"exit code {code}"), Worker(os._exit, [code]) as worker:
            worker.ask("anything")


def test_one_that_hangs_is_ended() -> None:
    with pytest.raises(VerificationFailed, match=r"no answer after 0.5 seconds"), Worker(time.sleep, [60]) as worker:
        worker.ask("anything", timeout=0.5)


def test_failures_that_a_user_can_be_told_of_keep_their_kind_and_the_worker(tmp_path: Path) -> None:
    load = {"runtime": "onnxruntime", "path": str(tmp_path / "absent.onnx")}
    with Worker(Serving, [load]) as worker:
        for _ in range(2):
            with pytest.raises(UserError, match="does not exist"):
                worker.ask("open")


def test_what_the_target_prints_is_not_taken_for_an_answer() -> None:
    with Worker(os.system, ["echo 123456789"]) as worker:
        assert worker.ask("bit_length") == 0


def test_only_what_has_a_name_can_be_called_elsewhere() -> None:
    with pytest.raises(ValueError, match="cannot be imported by name"):
        Worker(lambda: None)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bind processes")
def test_a_worker_keeps_to_its_cores() -> None:
    with Worker(machine.cores, [], [max(os.sched_getaffinity(0))]) as worker:
        assert worker.ask("bit_length") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_who_asked_for_it(end: signal.Signals) -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have it ignored
        "from vitc.runtimes.worker import Worker\n"
        "with Worker(time.sleep, [600]) as worker:\n"
        "    print(worker._process.pid, flush=True)\n"
        "    worker.ask('anything')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(end)
        parent.wait(20)
        assert gone(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
def test_a_worker_gives_back_what_it_frees_so_that_its_peak_is_no_luck() -> None:
    with Worker(Path, ["/proc/self/environ"]) as worker:
        environment = worker.ask("read_text").split("\0")
    assert {"MALLOC_ARENA_MAX=1", "MALLOC_MMAP_THRESHOLD_=131072", f"PATH={os.environ['PATH']}"} <= {*environment}
