"""Real programs: what they print is read, and they are gone afterwards."""

import os
import sys
import time
from pathlib import Path

import pytest

from vitc.runtimes.energy import printed
from vitc.runtimes.energy.command import parse
from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.printed import Printed, last_place


def program(text: str) -> Printed:
    return Printed("a meter", [sys.executable, "-c", text], parse)


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").is_file() and ") Z " in Path(f"/proc/{pid}/stat").read_text("utf-8")


def test_the_latest_line_is_read_and_the_program_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    meter = program(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "for watts in range(1, 600): print(watts, flush=True); time.sleep(0.01)"
    )
    meter.start()
    first = meter.read()
    while (later := meter.read()) == first:
        time.sleep(0.01)
    meter.stop()
    assert first is not None
    assert later is not None
    assert later.value > first.value
    assert later.at is not None
    assert first.at is not None
    assert later.at > first.at
    while not all(ended(int(pid)) for pid in pids.read_text("ascii").split()):
        time.sleep(0.01)


def test_a_program_that_ignores_the_request_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(printed, "GRACE", 0.2)
    pid = tmp_path / "pid"
    meter = program(
        "import os, signal, time\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True: print(1, flush=True); time.sleep(0.01)"
    )
    meter.start()
    assert not ended(int(pid.read_text("ascii")))
    meter.stop()
    meter.stop()
    assert ended(int(pid.read_text("ascii")))


def test_garbage_is_one_clear_reason() -> None:
    meter = program("import time; print('12 W please', flush=True); time.sleep(600)")
    with pytest.raises(NoReading, match="a meter printed '12 W please', which is no number of watts"):
        meter.start()
    meter.stop()


def test_a_program_that_ends_is_a_reason_with_its_last_words() -> None:
    meter = program("import sys; print(5, flush=True); sys.exit('the plug was pulled')")
    with pytest.raises(NoReading, match="a meter ended with exit code 1: the plug was pulled"):  # noqa: PT012 (when?)
        meter.start()
        while meter.read():
            time.sleep(0.01)
    meter.stop()


def test_a_program_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "PATIENCE", 0.05)
    meter = program("import time; time.sleep(600)")
    with pytest.raises(NoReading, match="printed no value"):
        meter.start()
    meter.stop()


def test_a_program_that_is_not_there_is_a_reason() -> None:
    meter = Printed("a meter", ["/no/such/program"], parse)
    with pytest.raises(NoReading, match="cannot be started"):
        meter.start()
    meter.stop()


@pytest.mark.parametrize(("number", "step"), [("12", 1), ("12.3", 0.1), ("12.30", 0.01), ("1.5e1", 0.1)])
def test_the_last_place_of_a_number(number: str, step: float) -> None:
    assert last_place(number) == pytest.approx(step)
