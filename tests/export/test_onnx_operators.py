from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.export import to_onnx
from vitc.models.backbone import Backbone, Preprocessing

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
SIZE = (3, 8, 8)
IMAGES = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(0))


class Attention(nn.Module):
    """Attention between the rows of an image, and nothing else."""

    def __init__(self, mask: Tensor | None = None, **options: object) -> None:
        super().__init__()
        self.mask, self.options = mask, options

    def forward(self, images: Tensor) -> Tensor:
        query, key, value = images, images.flip(2), images * 2
        found = functional.scaled_dot_product_attention(query, key, value, self.mask, **self.options)  # type: ignore[arg-type]
        return found.flatten(1)


def exported(module: nn.Module, folder: Path) -> tuple[list[str], np.ndarray]:
    """The kinds of the nodes, and the answer."""
    path = to_onnx.write(Backbone("odd", module.eval(), Preprocessing(SIZE), 192, (), "abc"), folder).path
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {to_onnx.INPUT: IMAGES.numpy()})
    return [node.op_type for node in onnx.load(path).graph.node], found


@pytest.mark.parametrize(
    "module",
    [
        Attention(),
        Attention(scale=0.7),
        Attention(torch.linspace(-2, 2, 64).view(8, 8)),
        Attention(torch.tril(torch.ones(8, 8, dtype=torch.bool))),
        Attention(is_causal=True),
    ],
    ids=["plain", "scaled", "mask", "truths", "causal"],
)
def test_attention_answers_as_torch(module: nn.Module, tmp_path: Path) -> None:
    _, found = exported(module, tmp_path)
    np.testing.assert_allclose(found, module(IMAGES).numpy(), rtol=1e-4, atol=1e-5)


def test_attention_is_two_products_and_no_arithmetic_on_shapes(tmp_path: Path) -> None:
    kinds, _ = exported(Attention(), tmp_path)
    assert kinds.count("MatMul") == 2
    assert not {"Shape", "Concat", "CastLike", "Sqrt"} & set(kinds)
    assert kinds.count("Mul") == 2, "one is the module's own; the scale is applied once"


class Ranges(nn.Module):
    """A range for each index of an axis."""

    def __init__(self, axis: int, bits: int, scheme: str) -> None:
        super().__init__()
        self.how = axis, bits, scheme

    def forward(self, images: Tensor) -> Tensor:
        count = images.shape[self.how[0]]
        low, high = ([side * (index + 1) for index in range(count)] for side in (-0.2, 0.3))
        result: Tensor = torch.ops.vitc.quantize_axis(images, low, high, *self.how)
        return result.flatten(1)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("scheme", ["asymmetric", "symmetric"])
def test_ranges_along_an_axis_round_as_in_torch(axis: int, bits: int, scheme: str, tmp_path: Path) -> None:
    module = Ranges(axis, bits, scheme)
    kinds, found = exported(module, tmp_path)
    np.testing.assert_allclose(found, module(IMAGES).numpy(), rtol=1e-6, atol=1e-6)
    assert kinds.count("QuantizeLinear") == 1
    assert kinds.count("DequantizeLinear") == 1
