"""A run's clock is its first target's engine, and tells shares of what the untouched backbone takes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitc import clock
from vitc.bench import Bench, Subject
from vitc.errors import VerificationFailed
from vitc.models.backbone import Backbone, Preprocessing
from vitc.progress import Progress
from vitc.recipe import Recipe


def tiny(width: int) -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, width), nn.GELU(), nn.Linear(width, 5)).eval()
    return Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")


def test_the_engine_is_the_first_that_can_be_timed() -> None:
    assert clock.engine(Recipe(export=("tensorrt", "onnx"), runtime=("tensorrt-reference", "onnxruntime"))) == (
        "onnx",
        "onnxruntime",
    )


def test_without_an_engine_no_clock_is_lent() -> None:
    with clock.lent(Recipe(runtime=("none",)), tiny(4)) as lent:
        assert lent is None


def test_both_are_measured_in_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Bench, list[str]]] = []

    def measure(bench: Bench, subjects: list[Subject], _: Progress) -> list[dict[str, Any]]:
        assert all(subject.path.is_file() for subject in subjects)
        seen.append((bench, [subject.name for subject in subjects]))
        return [{"speedup": None, "note": ""}, {"speedup": {"ratio": 1.25}, "note": ""}]

    monkeypatch.setattr(Bench, "measure", measure)
    with clock.lent(Recipe(batch=3, threads=1, seed=5), tiny(16)) as lent:
        assert lent is not None
        assert lent(tiny(8)) == pytest.approx(0.8)
        assert lent(tiny(4)) == pytest.approx(0.8)
    names = ["whole onnxruntime", "narrow onnxruntime"]
    assert seen == [(Bench(1, 3, 5, max_time=clock.SECONDS), names)] * 2


def test_what_cannot_be_timed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"speedup": None, "note": ""}, {"speedup": None, "note": "ended by SIGSEGV"}]
    monkeypatch.setattr(Bench, "measure", lambda *_: rows)
    with clock.lent(Recipe(threads=1), tiny(4)) as lent:
        assert lent is not None
        with pytest.raises(VerificationFailed, match="ended by SIGSEGV"):
            lent(tiny(2))


def test_files_are_written_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with clock.lent(Recipe(), tiny(4)):
        pass
    assert not list(tmp_path.iterdir())
