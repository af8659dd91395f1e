from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitc.runtimes.mil_arguments import Arguments, UnknownFormError
from vitc.runtimes.mil_linear import LINEAR, conv_transpose, paddings

mb = pytest.importorskip("coremltools.converters.mil").Builder

RANDOM = np.random.default_rng(0)
IMAGE = torch.from_numpy(RANDOM.standard_normal((2, 4, 7, 6)).astype(np.float32))
SERIES = torch.from_numpy(RANDOM.standard_normal((2, 4, 9)).astype(np.float32))
TOKENS = torch.from_numpy(RANDOM.standard_normal((2, 3, 5, 8)).astype(np.float32))
KERNEL = RANDOM.standard_normal((6, 2, 3, 2)).astype(np.float32)
LINE = RANDOM.standard_normal((3, 4, 3)).astype(np.float32)
BIAS = RANDOM.standard_normal(6).astype(np.float32)
TABLE = RANDOM.standard_normal((6, 8)).astype(np.float32)
t = torch.from_numpy


@pytest.mark.parametrize(
    ("build", "expected", "x"),
    [
        (lambda x: mb.linear(x=x, weight=TABLE, bias=BIAS), lambda x: x @ t(TABLE).T + t(BIAS), TOKENS),
        (lambda x: mb.matmul(x=x, y=x, transpose_y=True), lambda x: x @ x.mT, TOKENS),
        (lambda x: mb.matmul(x=x, y=x, transpose_x=True), lambda x: x.mT @ x, TOKENS),
        (lambda x: mb.matmul(x=x, y=TABLE.T), lambda x: x @ t(TABLE).T, TOKENS),
        (
            lambda x: mb.einsum(values=(x, mb.transpose(x=x, perm=[0, 3, 2, 1])), equation="nchw,nwhu->nchu"),
            lambda x: torch.einsum("nchw,nuhw->nchu", x, x),
            TOKENS,
        ),
    ],
)
def test_products(build: Any, expected: Any, x: Tensor, interpret: Callable[..., Tensor]) -> None:
    torch.testing.assert_close(interpret(build, x), expected(x), rtol=1e-5, atol=1e-5)


def attention(**mask: Any) -> Any:
    return lambda x: mb.scaled_dot_product_attention(query=x, key=x, value=x, **mask)


def test_attention_with_and_without_a_mask(interpret: Callable[..., Tensor]) -> None:
    scores = torch.softmax(TOKENS @ TOKENS.mT / 8**0.5, -1)
    torch.testing.assert_close(interpret(attention(), TOKENS, "iOS18"), scores @ TOKENS, rtol=1e-5, atol=1e-5)
    seen = np.tril(np.ones((5, 5), dtype=bool))
    masked = scores * t(seen) / (scores * t(seen)).sum(-1, keepdim=True)
    for mask in (seen, np.where(seen, 0, -np.inf).astype(np.float32)):
        found = interpret(attention(attn_mask=mask), TOKENS, "iOS18")
        torch.testing.assert_close(found, masked @ TOKENS, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "around"),
    [
        ({"pad_type": "valid"}, (0, 0, 0, 0)),
        ({"pad_type": "custom", "pad": [1, 1, 2, 2]}, (2, 2, 1, 1)),
        ({"pad_type": "custom", "pad": [0, 2, 1, 0]}, (1, 0, 0, 2)),
        ({"pad_type": "same"}, (0, 1, 1, 1)),
        ({"pad_type": "same_lower"}, (1, 0, 1, 1)),
    ],
)
def test_a_convolution_is_padded_as_it_is_told(
    words: dict[str, Any], around: tuple[int, ...], interpret: Callable[..., Tensor]
) -> None:
    found = interpret(lambda x: mb.conv(x=x, weight=KERNEL, bias=BIAS, groups=2, **words), IMAGE)
    expected = functional.conv2d(functional.pad(IMAGE, around), t(KERNEL), t(BIAS), groups=2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_strides_and_dilations(interpret: Callable[..., Tensor]) -> None:
    found = interpret(
        lambda x: mb.conv(x=x, weight=KERNEL, groups=2, strides=[2, 1], dilations=[1, 2], pad_type="same"), IMAGE
    )
    expected = functional.conv2d(functional.pad(IMAGE, (1, 1, 1, 1)), t(KERNEL), None, (2, 1), 0, (1, 2), 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found = interpret(lambda x: mb.conv(x=x, weight=LINE, strides=[2], pad_type="valid"), SERIES)
    torch.testing.assert_close(found, functional.conv1d(SERIES, t(LINE), stride=2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"pad_type": "valid"}, {}),
        ({"pad_type": "custom", "pad": [1, 1, 0, 0]}, {"padding": (1, 0)}),
        ({"pad_type": "valid", "strides": [3, 2], "dilations": [1, 2]}, {"stride": (3, 2), "dilation": (1, 2)}),
        (
            {"pad_type": "custom", "pad": [1, 1, 1, 1], "strides": [3, 3], "output_shape": [2, 4, 20, 16]},
            {"padding": 1, "stride": 3, "output_padding": (1, 1)},
        ),
    ],
)
def test_a_transposed_convolution_is_torchs(
    words: dict[str, Any], expected: dict[str, Any], interpret: Callable[..., Tensor]
) -> None:
    kernel = RANDOM.standard_normal((4, 2, 3, 2)).astype(np.float32)
    if "output_shape" in words:
        words = {**words, "output_shape": functional.conv_transpose2d(IMAGE, t(kernel), groups=2, **expected).shape}
    found = interpret(lambda x: mb.conv_transpose(x=x, weight=kernel, bias=BIAS[:4], groups=2, **words), IMAGE)
    torch.testing.assert_close(
        found, functional.conv_transpose2d(IMAGE, t(kernel), t(BIAS[:4]), groups=2, **expected), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_transposed_convolution_of_the_same_size_multiplies_it_by_the_stride(
    size: int, interpret: Callable[..., Tensor]
) -> None:
    kernel = np.ones((4, 1, size, size), dtype=np.float32)
    found = interpret(lambda x: mb.conv_transpose(x=x, weight=kernel, strides=[2, 2], pad_type="same"), IMAGE)
    whole = functional.conv_transpose2d(IMAGE, t(kernel), stride=2)
    assert found.shape == (2, 1, 14, 12)
    torch.testing.assert_close(found[..., :13, :11], whole[..., :13, :11], rtol=1e-4, atol=1e-5)


def test_every_operator_is_tested() -> None:
    assert set(LINEAR) == {"conv", "conv_transpose", "einsum", "linear", "matmul", "scaled_dot_product_attention"}


def test_a_padding_that_is_not_known_is_named() -> None:
    one = torch.tensor([1, 1])
    arguments = Arguments({"pad_type": "wide", "strides": one, "dilations": one, "groups": one[0]})
    with pytest.raises(UnknownFormError, match="pad_type wide"):
        paddings(arguments, (4, 4), (3, 3))
    with pytest.raises(UnknownFormError, match="pad_type wide"):
        conv_transpose(Arguments({**arguments.values, "x": IMAGE, "weight": torch.ones(4, 1, 2, 2)}))
