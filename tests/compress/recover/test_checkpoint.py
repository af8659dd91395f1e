"""A checkpoint comes back as it was, or not at all, and nothing in it can run."""

import pickle
from pathlib import Path

import pytest
import torch

from vitc.compress.recover.checkpoint import NAME, State


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    state = State(20, "bf16", 7, [0.5, 0.25], 7, {"a": torch.ones(2)}, {"a": torch.zeros(2)}, optimizer.state_dict())
    state.save(tmp_path / "new" / "folder")
    found = State.load(tmp_path / "new" / "folder")
    assert found is not None
    assert (found.steps, found.precision, found.step, found.history) == (20, "bf16", 7, [0.5, 0.25])
    assert torch.equal(found.best["a"], state.best["a"])
    assert torch.equal(found.optimizer["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert [file.name for file in (tmp_path / "new" / "folder").iterdir()] == [NAME]


def test_without_one_there_is_nothing(tmp_path: Path) -> None:
    assert State.load(tmp_path) is None
    assert State.load(None) is None
    State(1, "fp32").save(None)


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("run",)


def test_one_that_would_run_something_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"steps": Hostile()}, tmp_path / NAME)
    with pytest.raises(pickle.UnpicklingError):
        State.load(tmp_path)
    assert "run" not in capsys.readouterr().out
