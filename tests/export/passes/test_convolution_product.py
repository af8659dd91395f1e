import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from vitc.export.passes import run
from vitc.export.passes.convolution_product import ConvolutionProduct

runtime = pytest.importorskip("onnxruntime")
TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,4,9,7] x) => (float[b,OUT,H,W] z) <float s = {0.05}, uint8 u = {100}, float t = {0.5}> {
 q = QuantizeLinear(x, s, u)  d = DequantizeLinear(q, s, u)  w = DequantizeLinear <axis=0> (codes, scales)
 y = Conv <pads=[PADS], strides=[STRIDES], dilations=[GAPS], group=GROUP> (d, wBIAS)  NEXT }"""
PLAIN = {"pads": "0, 0, 0, 0", "strides": "1, 1", "gaps": "1, 1"}


def model(kernel: tuple[int, int], following: str = "z = Elu(y)", **geometry: str) -> ir.Model:
    group = int(geometry.get("group", "1"))
    shape = (6, 4 // group, *kernel)
    codes = np.random.default_rng(0).integers(-127, 128, shape, dtype=np.int8)
    stored = f"""<int8{list(shape)} codes = {{{", ".join(map(str, codes.ravel()))}}},
      float[6] scales = {{1, 2, 3, 4, 5, 6}}, float[6] bias = {{100, 200, 300, 400, 500, 600}}, float s"""
    words = {**PLAIN, "group": "1", "bias": ", bias", **geometry, "next": following}
    text = TEXT.replace("<float s", stored, 1)
    sides = [_side(*each) for each in zip((9, 7), kernel, *_numbers(words), strict=True)]
    for word, value in {**words, "h": str(sides[0]), "w": str(sides[1]), "out": "6"}.items():
        text = text.replace(word.upper(), value)
    made = ir.from_onnx_text(text)
    conv = next(node for node in made.graph if node.op_type == "Conv")
    conv.name = "stem"
    conv.outputs[0].shape = ir.Shape(["b", 6, *sides])
    return made


def _numbers(words: dict[str, str]) -> list[list[int]]:
    """Padding before and behind, strides and dilations, each for rows and columns."""
    pads, strides, gaps = ([int(number) for number in words[name].split(",")] for name in ("pads", "strides", "gaps"))
    return [pads[:2], pads[2:], strides, gaps]


def _side(size: int, kernel: int, before: int, behind: int, stride: int, gap: int) -> int:
    return (size + before + behind - gap * (kernel - 1) - 1) // stride + 1


def answer(made: ir.Model) -> NDArray[np.float32]:
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 7), dtype=np.float32)
    session = runtime.InferenceSession(ir.to_proto(made).SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return found


@pytest.mark.parametrize(
    ("kernel", "geometry"),
    [
        ((3, 3), {"pads": "1, 1, 1, 1"}),
        ((3, 2), {"pads": "1, 0, 2, 1", "strides": "2, 3"}),
        ((2, 3), {"gaps": "2, 2"}),
        ((1, 1), {}),
        ((1, 1), {"strides": "2, 2"}),
        ((3, 3), {"bias": ""}),
    ],
    ids=["padded", "strides", "dilated", "point", "every other point", "no bias"],
)
def test_a_convolution_is_a_product_over_patches(kernel: tuple[int, int], geometry: dict[str, str]) -> None:
    made = model(kernel, **geometry)
    wanted = answer(made)
    run(made, ConvolutionProduct())
    kinds = [node.op_type for node in made.graph]
    assert "Conv" not in kinds
    assert [node.name for node in made.graph if node.op_type == "MatMul"] == ["stem"]
    np.testing.assert_allclose(answer(made), wanted, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("group", "following"),
    [
        ("2", "z = Elu(y)"),
        ("1", "r = QuantizeLinear(y, t, u)  z = DequantizeLinear(r, t, u)"),
        ("1", "v = Relu(y)  r = QuantizeLinear(v, t, u)  z = DequantizeLinear(r, t, u)"),
    ],
    ids=["groups", "integers on both sides", "behind a relu too"],
)
def test_what_has_a_kernel_of_its_own_stays(group: str, following: str) -> None:
    made = model((3, 3), following, pads="1, 1, 1, 1", group=group)
    run(made, ConvolutionProduct())
    assert [node.op_type for node in made.graph].count("Conv") == 1
