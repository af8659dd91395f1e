"""Artifacts in workers: one that is asked in turn, or several that are busy at once. The engine here is onnxruntime."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitc.errors import VitcError
from vitc.runtimes import servers
from vitc.runtimes.servers import Served, Streams
from vitc.runtimes.serving import Load, Opened

OPENED = Opened(batch=2, load_ms=3.0, first_ms=4.0, idle_mb=10.0, peak_mb=30.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of matrices."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    weight = numpy_helper.from_array(np.ones((8, 4), np.float32), "w")
    given, out = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ("n", s)) for n, s in (("x", 8), ("y", 4)))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [given], [out], [weight])
    model = helper.make_model(graph, ir_version=8)
    model.opset_import[0].version = 17
    onnx.save(model, path)
    return path


def test_an_artifact_is_loaded_warmed_up_and_asked_in_turn(file: Path) -> None:
    told: list[Opened] = []
    with Served(Load("onnxruntime", str(file), 1, batch=3), [()], told.append) as served:
        assert served.warm_up(0.01) > 0
        assert len(served.turn(5)) == 5
    (opened,) = told
    assert opened.batch == 3
    assert opened.load_ms > 0
    if opened.peak_mb is not None and opened.idle_mb is not None:
        assert 0 < opened.idle_mb < opened.peak_mb


def test_one_that_cannot_be_opened_leaves_no_worker(tmp_path: Path) -> None:
    served = Served(Load("onnxruntime", str(tmp_path / "absent.onnx")), [(), ()], lambda _: None)
    with pytest.raises(VitcError, match="does not exist"), served:
        pass
    assert [worker._process.returncode is not None for worker in served.workers] == [True]


class Pretending:
    """Workers that answer at once."""

    made: list[tuple[dict[str, Any], tuple[int, ...]]]

    def __init__(self, _: object, args: list[dict[str, Any]], cores: tuple[int, ...]) -> None:
        self.made.append((args[0], cores))

    def __enter__(self) -> "Pretending":
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def ask(self, method: str, *_: object) -> object:
        return {"open": asdict(OPENED), "warm_up": 5}[method]

    def begin(self, method: str, *_: object) -> None:
        self.begun = method

    def answer(self) -> list[int]:
        return {"stream": [10, 1000]}[self.begun]


def test_streams_have_a_thread_and_a_core_each_and_their_images_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "Worker", Pretending)
    monkeypatch.setattr(Pretending, "made", [], raising=False)
    told: list[Opened] = []
    with Streams(Load("onnxruntime", "a", threads=4), (3, 5, 6, 7), told.append, 4) as streams:
        assert streams.warm_up(1.0) == 5
        assert streams.turn(99) == [(round(1000 / (4 * 10 * 2)), 0)]
    assert [cores for _, cores in Pretending.made] == [(3,), (5,), (6,), (7,)]
    assert {load["threads"] for load, _ in Pretending.made} == {1}
    assert told == [Opened(2, 3.0, 4.0, 40.0, 120.0)]
