import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from vitc.errors import NotAvailable, UserError, VerificationFailed
from vitc.runtimes import trt

ENGINE = "model.trt11.4-orin-sm87.engine"
MOST = 4
PRODUCTS = {
    "node_MatMul_1": {
        "operator": "MatMul",
        "layer": "head",
        "promised": "int8",
        "inputs": [[1, 12], [12, 3]],
        "output": [1, 3],
    },
    "node_MatMul_2": {
        "operator": "MatMul",
        "layer": None,
        "promised": "fp16",
        "inputs": [[1, 3], [3, 3]],
        "output": [1, 3],
    },
}
GEMM = {"LayerType": "gemm", "Metadata": "[ONNX Layer: node_MatMul_1]", "Inputs": [{"Format/Datatype": "Int8"}]}


class Cuda:
    """Device memory in arrays; an address is a number."""

    held: ClassVar[list["Cuda"]] = []
    stream = 7

    def __init__(self, driver: str) -> None:
        assert driver == "libcuda"
        self.memory: dict[int, Any] = {}
        self.held.append(self)

    def buffer(self, name: str, size: int) -> int:
        return self.keep(name, np.zeros(size // 4, np.float32))

    def upload(self, name: str, array: Any) -> int:
        return self.keep(name, array.copy())

    def keep(self, name: str, array: Any) -> int:
        self.memory[len(name)] = array
        return len(name)

    def download(self, name: str, array: Any) -> None:
        array[:] = self.memory[len(name)].reshape(array.shape)

    def close(self) -> None:
        self.held.remove(self)


class Context:
    """Answers with sums over the image, from and into the memory that it was given the addresses of."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = tuple(shape)
        return name == "image" and shape[0] <= MOST and shape[1:] == (3, 2, 2)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "logits"
        return (self.shape[0], 3)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == 7
        if self.engine.failing:
            self.engine.logger.log(ILogger.Severity.ERROR, "an illegal memory access")
            return False
        memory = Cuda.held[-1].memory
        memory[self.addresses["logits"]][:] = memory[self.addresses["image"]].sum((2, 3)).ravel()
        return True


class Inspector:
    execution_context: Context | None = None

    def get_engine_information(self, layer_format: str) -> str:
        assert layer_format == "json"
        assert self.execution_context is not None
        assert self.execution_context.shape, "free sizes are told only when the context has a shape"
        return json.dumps({"Layers": [GEMM]})


class Engine:
    num_io_tensors = 2
    failing = False

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def get_tensor_name(self, index: int) -> str:
        return ["image", "logits"][index]

    def get_tensor_mode(self, name: str) -> str:
        return {"image": "input", "logits": "output"}[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "image"
        return (-1, 3, 2, 2)

    def create_execution_context(self) -> Context:
        return Context(self)

    def create_engine_inspector(self) -> Inspector:
        return Inspector()


class ILogger:
    class Severity:
        INTERNAL_ERROR, ERROR, WARNING = range(3)


class Runtime:
    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        if serialized_engine != b"engine":
            self.logger.log(ILogger.Severity.ERROR, "the version does not match")
            return None
        return Engine(self.logger)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[Cuda]:
    """TensorRT and a GPU, as far as a session asks for them."""
    made = ModuleType("tensorrt")
    made.__spec__ = ModuleSpec("tensorrt", None)
    vars(made).update(
        __version__="11.4.0.106",
        ILogger=ILogger,
        Runtime=Runtime,
        TensorIOMode=type("TensorIOMode", (), {"INPUT": "input", "OUTPUT": "output"}),
        LayerInformationFormat=type("LayerInformationFormat", (), {"JSON": "json"}),
    )
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    monkeypatch.setattr(trt.script, "missing", lambda: None)
    monkeypatch.setattr(trt.script, "load_driver", lambda: "libcuda")
    monkeypatch.setattr(trt.script, "first_device", lambda: trt.script.Device("Orin", (8, 7)))
    monkeypatch.setattr(trt, "Cuda", Cuda)
    monkeypatch.setattr(Cuda, "held", [])
    return Cuda.held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    profile = {"image": {"min": [1, 3, 2, 2], "opt": [1, 3, 2, 2], "max": [MOST, 3, 2, 2]}}
    plan = {"profile": profile, "metadata": {"vitc.name": "tiny"}, "products": PRODUCTS}
    (tmp_path / "build.json").write_text(json.dumps(plan), "utf-8")
    (tmp_path / ENGINE).write_bytes(b"engine")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("images", [1, MOST, 2 * MOST + 1])
def test_a_batch_of_any_size_is_answered(installed: list[Cuda], path: Path, images: int) -> None:
    sent = np.random.default_rng(0).standard_normal((images, 3, 2, 2)).astype(np.float32)
    with trt.TrtSession(path) as session:
        np.testing.assert_allclose(session.run(sent), sent.sum((2, 3)), rtol=1e-5)
        assert session.input_shape == (None, 3, 2, 2)
        assert session.metadata == {"vitc.name": "tiny"}
        assert installed
    assert not installed, "what was held is given back"


def test_images_of_another_size_are_refused(installed: list[Cuda], path: Path) -> None:
    with trt.TrtSession(path) as session, pytest.raises(UserError, match=r"\(1, 3, 9, 9\); it takes \(None, 3, 2, 2\)"):
        session.run(np.zeros((1, 3, 9, 9), dtype=np.float32))


def test_a_failing_inference_says_why(installed: list[Cuda], path: Path) -> None:
    with trt.TrtSession(path) as session:
        session.engine.failing = True
        with pytest.raises(VerificationFailed, match="an illegal memory access"):
            session.run(np.zeros((1, 3, 2, 2), dtype=np.float32))


def test_an_engine_that_was_not_built_for_this_device_is_asked_for(installed: list[Cuda], path: Path) -> None:
    (path.parent / ENGINE).rename(path.parent / "model.trt10.3-orin-sm87.engine")
    with pytest.raises(UserError, match=rf"{ENGINE} is not built; run `python .*build\.py`"):
        trt.TrtSession(path)


def test_an_engine_that_cannot_be_loaded_is_told(installed: list[Cuda], path: Path) -> None:
    (path.parent / ENGINE).write_bytes(b"of another version")
    with pytest.raises(VerificationFailed, match="the version does not match; build it again"):
        trt.TrtSession(path)


def test_a_file_without_its_plan_is_refused(installed: list[Cuda], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"build\.json does not exist; give the folder"):
        trt.TrtSession(tmp_path / "model.onnx")


def test_without_the_library_one_line_says_so(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(trt, "missing", lambda: "tensorrt is not installed: pip install tensorrt")
    with pytest.raises(NotAvailable, match="pip install tensorrt"):
        trt.TrtSession(path)


def test_what_ran_is_read_from_the_inspector(installed: list[Cuda], path: Path) -> None:
    found = {kernel.name: kernel.inputs for kernel in trt.executed(path, np.zeros((1, 3, 2, 2), dtype=np.float32))}
    assert found["node_MatMul_1"] == (("int8", (1, 12)), ("int8", (12, 3)))
    assert not installed


def test_what_was_promised_is_in_the_plan(path: Path) -> None:
    assert trt.promised(path) == {"node_MatMul_1": "head"}


def test_serving_needs_neither_torch_nor_onnx() -> None:
    code = "import sys, vitc.runtimes.trt; print(sorted({'torch', 'onnx', 'onnx_ir'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
