"""A run's clock is its first target's engine, and tells shares of what the untouched backbone takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vitc import clock
from vitc.models.backbone import Backbone, Preprocessing
from vitc.recipe import Recipe
from vitc.runtimes import latency


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
    seen: list[list[tuple[int, ...]]] = []

    def measure(calls: Mapping[str, Any], _: latency.Plan) -> dict[str, latency.Samples]:
        seen.append([call().shape for call in calls.values()])
        times = {
            "whole": [[10] * 20, [10] * 10 + [90] * 10, [20] * 20],
            "narrow": [[6] * 20, [6] * 5 + [80] * 15, [12] * 20],
        }
        return {name: latency.Samples(np.array(times[name])) for name in calls}

    monkeypatch.setattr(latency, "measure", measure)
    with clock.lent(Recipe(batch=3, threads=1), tiny(16)) as lent:
        assert lent is not None
        assert lent(tiny(8)) == pytest.approx(0.6)
        assert lent(tiny(4)) == pytest.approx(0.6)
    assert seen == [[(3, 5), (3, 5)]] * 2


def test_files_are_written_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with clock.lent(Recipe(), tiny(4)):
        pass
    assert not list(tmp_path.iterdir())
