"""Any ONNX file is fed: several inputs, any type, free axes by a rule."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vitc.errors import UserError
from vitc.runtimes.feeds import Fed, fed
from vitc.runtimes.ort import OrtSession

Sizes = Sequence[int | str | None]


@pytest.fixture
def of(tmp_path: Path) -> Callable[..., Fed]:
    """`(name=(type, sizes), …, batch=…, shapes=…)`: what a file is fed that gives back all of its inputs."""

    def build(batch: int = 1, shapes: dict[str, tuple[int, ...]] | None = None, **inputs: tuple[int, Sizes]) -> Fed:
        given = [helper.make_tensor_value_info(name, kind, sizes) for name, (kind, sizes) in inputs.items()]
        back = [helper.make_tensor_value_info(f"{name}_", kind, None) for name, (kind, _) in inputs.items()]
        nodes = [helper.make_node("Identity", [name], [f"{name}_"]) for name in inputs]
        model = helper.make_model(helper.make_graph(nodes, "g", given, back), ir_version=8)
        model.opset_import[0].version = 17
        onnx.save(model, tmp_path / "model.onnx")
        return fed(OrtSession(tmp_path / "model.onnx", 1), batch, 0, shapes or {})

    return build


def arrays(found: Fed) -> dict[str, tuple[str, tuple[int, ...]]]:
    made: dict[str, Any] = found.arrays
    return {name: (str(array.dtype), array.shape) for name, array in made.items()}


def test_every_input_gets_its_type_and_shape(of: Callable[..., Fed]) -> None:
    found = of(
        image=(TensorProto.FLOAT, (None, 3, 4, 4)),
        half=(TensorProto.FLOAT16, (2, 2)),
        tokens=(TensorProto.INT64, ("batch", 7)),
        pixels=(TensorProto.UINT8, (1, 5)),
        mask=(TensorProto.BOOL, (3,)),
        scale=(TensorProto.DOUBLE, ()),
        batch=2,
    )
    assert arrays(found) == {
        "image": ("float32", (2, 3, 4, 4)),
        "half": ("float16", (2, 2)),
        "tokens": ("int64", (2, 7)),
        "pixels": ("uint8", (1, 5)),
        "mask": ("bool", (3,)),
        "scale": ("float64", ()),
    }
    assert (found.batch, found.shape) == (2, (2, 3, 4, 4))
    assert (found.arrays["tokens"] == 1).all()
    assert found.call() is not None


def test_axes_with_the_symbol_of_the_batch_are_the_batch(of: Callable[..., Fed]) -> None:
    assert of(x=(TensorProto.FLOAT, ("n", 2, "n")), batch=3).shape == (3, 2, 3)


def test_other_free_axes_must_be_said(of: Callable[..., Fed]) -> None:
    tokens = (TensorProto.INT64, ("batch", "length"))
    with pytest.raises(UserError, match=r"tokens is of shape batchxlength.* --shape tokens=1xN"):
        of(tokens=tokens)
    assert of(tokens=tokens, shapes={"tokens": (2, 9)}).shape == (2, 9)


@pytest.mark.parametrize("said", [(1, 4), (1, 3, 4), (2,)])
def test_what_is_said_must_fit(of: Callable[..., Fed], said: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="give one that fits"):
        of(x=(TensorProto.FLOAT, ("n", 3)), shapes={"x": said})


def test_what_cannot_be_made_up_is_refused(of: Callable[..., Fed]) -> None:
    with pytest.raises(UserError, match=r"text is a tensor\(string\), which cannot be made up"):
        of(text=(TensorProto.STRING, (1,)))


def test_the_noise_is_that_of_the_seed(of: Callable[..., Fed]) -> None:
    one, other = (of(x=(TensorProto.FLOAT, (1, 50))).arrays["x"] for _ in range(2))
    assert np.array_equal(one, other)
    assert 0.5 < one.std() < 1.5


def test_without_inputs_there_is_nothing_to_feed(tmp_path: Path) -> None:
    value = helper.make_tensor("v", TensorProto.FLOAT, (2,), [1.0, 2.0])
    node = helper.make_node("Constant", [], ["y"], value=value)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2,))
    model = helper.make_model(helper.make_graph([node], "g", [], [out]), ir_version=8)
    model.opset_import[0].version = 17
    onnx.save(model, tmp_path / "model.onnx")
    found = fed(OrtSession(tmp_path / "model.onnx", 1), 4, 0, {})
    assert (found.batch, found.shape, found.inputs) == (1, (), ())
    assert found.call() is not None
