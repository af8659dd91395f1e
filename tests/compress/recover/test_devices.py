import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vitc.compress.recover import devices
from vitc.compress.recover.checkpoint import NAME

CPU = torch.device("cpu")


@pytest.mark.parametrize("instructions", [True, False])
def test_half_precision_is_tried_where_the_processor_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, *, instructions: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert devices.precisions(CPU) == (("fp32", "bf16") if instructions else ("fp32",))


def test_the_first_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 10.0, 13.0, 20.0, 22.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert devices.seconds({"": lambda: None}, CPU) == {"": 2.5}


def test_work_is_timed_for_as_long_as_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is fast at first and slow later takes what it takes in the mean."""
    clock = iter([0, 9, 10, 11, 20, 21, 30, 34, 40, 44])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert devices.seconds({"": lambda: None}, CPU, least=10) == {"": 2.5}
    assert next(clock, None) is None


def test_works_take_turns_so_that_none_meets_a_slow_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    now = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    found = devices.seconds({name: lambda name=name: turns.append(name) for name in "ab"}, CPU)  # type: ignore[misc]
    assert turns == ["a", "b"] * 3
    assert found == {"a": 1, "b": 1}


SCRIPT = """
import copy, os, sys, torch
from pathlib import Path
from torch import nn
from vitc.compress.aids import Aids
from vitc.compress.recover import Recover
from vitc.compress.recover.training import How
from vitc.models.backbone import Backbone, Preprocessing

torch.manual_seed(0)
teacher = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.Linear(16, 6)).eval()
student = copy.deepcopy(teacher)
for parameter in student.parameters():
    parameter.data.add_(0.03 * torch.randn_like(parameter))
teacher, student = (Backbone("tiny", one, Preprocessing((3, 8, 8)), 6, (), "") for one in (teacher, student))
aids = Aids(teacher=teacher, folder=Path(sys.argv[1]))
made = Recover("0.02", how=How(batch=8, rate=3e-3)).apply(student, [torch.randn(60, 3, 9, 9)], aids)
said = (made.form[-1], str(made.fingerprint() == student.fingerprint()), made.fingerprint())
Path(os.environ["RANK"]).write_text("\\n".join(said), encoding="utf-8")
"""


def test_two_processes_learn_one_student_for_one_number_of_steps(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py", "work"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, other = ((tmp_path / rank).read_text(encoding="utf-8").splitlines() for rank in "01")
    assert one == other
    assert one[0].startswith("recover")
    assert one[1] == "False", "it learned"
    assert (tmp_path / "work" / NAME).is_file()


def test_one_process_is_the_main_one(capfd: pytest.CaptureFixture[str]) -> None:
    found = devices.accelerator()
    assert found.is_main_process
    assert found.num_processes == 1
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
