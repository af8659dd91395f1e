import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitc.runtimes.mil_arguments import Arguments, UnknownFormError
from vitc.runtimes.mil_elementwise import BINARY, ELEMENTWISE, UNARY, gelu

mb = pytest.importorskip("coremltools.converters.mil").Builder

WHOLE = torch.tensor([[-2.5, -1.5, -0.6, 0.0], [0.4, 0.5, 1.5, 7.0]])
UNIT = torch.tensor([[0.05, 0.2, 0.4], [0.5, 0.7, 0.95]])
CHANNELS = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
SLOPES = np.array([0.1, 0.5, 2.0], dtype=np.float32)
WORDS = {
    "exp2": lambda x: 2.0**x,
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "round": lambda x: torch.from_numpy(np.round(x.numpy())),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "softplus": lambda x: torch.log(1 + torch.exp(x)),
    "softsign": lambda x: x / (1 + x.abs()),
    "square": lambda x: x * x,
}
"""What some of them are, in other words than torch's function of that name."""
COLUMN = np.array([[2.0], [0.5]], dtype=np.float32)
ARITHMETIC: dict[str, Any] = {
    "add": operator.add,
    "floor_div": operator.floordiv,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": operator.mod,
    "mul": operator.mul,
    "pow": operator.pow,
    "real_div": operator.truediv,
    "sub": operator.sub,
}
COMPARISONS = {
    "equal": operator.eq,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
    "not_equal": operator.ne,
}
LOGIC = {
    "logical_and": [True, False, False, False],
    "logical_or": [True, True, True, False],
    "logical_xor": [False, True, True, False],
}
"""Of 0, 1, 2, 3: "not above 0.5" and "below 2.5"."""

Reference = Callable[[Tensor], Tensor]


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"cast", "logical_not"}))
def test_a_map_is_what_its_name_says(name: str, interpret: Callable[..., Tensor]) -> None:
    x = UNIT if name in {"acos", "asin", "atanh", "sqrt", "tan"} else WHOLE
    expected: Any = WORDS.get(name) or getattr(torch, name)
    found = interpret(lambda x: getattr(mb, name)(x=x), x)
    torch.testing.assert_close(found, expected(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(BINARY) - set(COMPARISONS) - set(LOGIC)))
def test_two_tensors_are_broadcast(name: str, interpret: Callable[..., Tensor]) -> None:
    x = UNIT if name == "pow" else WHOLE
    found = interpret(lambda x: getattr(mb, name)(x=x, y=COLUMN), x)
    np.testing.assert_allclose(found.numpy(), ARITHMETIC[name](x.numpy(), COLUMN), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(COMPARISONS))
def test_comparisons(name: str, interpret: Callable[..., Tensor]) -> None:
    found = interpret(lambda x: mb.cast(x=getattr(mb, name)(x=x, y=COLUMN), dtype="fp32"), WHOLE)
    assert np.array_equal(found.numpy(), COMPARISONS[name](WHOLE.numpy(), COLUMN))


@pytest.mark.parametrize("name", sorted(LOGIC))
def test_logic(name: str, interpret: Callable[..., Tensor]) -> None:
    def build(x: Any) -> Any:
        above, below = mb.greater(x=x, y=0.5), mb.less(x=x, y=2.5)
        both = getattr(mb, name)(x=mb.logical_not(x=above), y=below)
        return mb.cast(x=both, dtype="fp32")

    x = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert interpret(build, x).bool().tolist() == LOGIC[name]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x: mb.clip(x=x, alpha=-1.0, beta=1.25), lambda x: x.clamp(-1, 1.25)),
        (lambda x: mb.clamped_relu(x=x, alpha=0.1, beta=1.0), lambda x: functional.leaky_relu(x, 0.1).clamp(max=1)),
        (lambda x: mb.linear_activation(x=x, alpha=2.0, beta=3.0), lambda x: 2 * x + 3),
        (lambda x: mb.scaled_tanh(x=x, alpha=2.0, beta=3.0), lambda x: 2 * torch.tanh(3 * x)),
        (lambda x: mb.sigmoid_hard(x=x, alpha=1 / 6, beta=0.5), functional.hardsigmoid),
        (lambda x: mb.elu(x=x, alpha=1.3), lambda x: functional.elu(x, 1.3)),
        (lambda x: mb.leaky_relu(x=x, alpha=0.2), lambda x: functional.leaky_relu(x, 0.2)),
        (lambda x: mb.threshold(x=x, alpha=0.3), lambda x: x.clamp(min=0.3)),
        (lambda x: mb.thresholded_relu(x=x, alpha=0.5), lambda x: x * (x >= 0.5)),
        (lambda x: mb.gelu(x=x, mode="EXACT"), functional.gelu),
        (lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"), lambda x: functional.gelu(x, approximate="tanh")),
        (lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), lambda x: x / (1 + torch.exp(-1.702 * x))),
        (lambda x: mb.log(x=mb.abs(x=x), epsilon=0.5), lambda x: torch.log(x.abs() + 0.5)),
        (lambda x: mb.rsqrt(x=mb.abs(x=x), epsilon=0.5), lambda x: (x.abs() + 0.5) ** -0.5),
        (lambda x: mb.inverse(x=mb.abs(x=x), epsilon=0.5), lambda x: 1 / (x.abs() + 0.5)),
        (lambda x: mb.select(cond=mb.less(x=x, y=0.4), a=x, b=mb.square(x=x)), lambda x: x * x.where(x >= 0.4, 1.0)),
        (lambda x: mb.cast(x=mb.cast(x=x, dtype="int32"), dtype="fp32"), torch.trunc),
    ],
)
def test_an_activation_is_what_its_name_says(build: Any, expected: Reference, interpret: Callable[..., Tensor]) -> None:
    torch.testing.assert_close(interpret(build, WHOLE), expected(WHOLE), rtol=1e-6, atol=1e-6)


def test_parameters_run_along_the_channels(interpret: Callable[..., Tensor]) -> None:
    slopes = torch.from_numpy(SLOPES)
    found = interpret(lambda x: mb.prelu(x=x, alpha=SLOPES), CHANNELS)
    torch.testing.assert_close(found, functional.prelu(CHANNELS, slopes))
    found = interpret(lambda x: mb.softplus_parametric(x=x, alpha=SLOPES, beta=SLOPES + 1), CHANNELS)
    slopes = slopes[:, None, None]
    expected = slopes * torch.log(1 + torch.exp((slopes + 1) * CHANNELS))
    torch.testing.assert_close(found, expected)


def test_every_operator_is_tested() -> None:
    scaled = {"clamped_relu", "clip", "linear_activation", "scaled_tanh", "sigmoid_hard"}
    rest = {"elu", "gelu", "inverse", "leaky_relu", "log", "prelu", "rsqrt", "select", "softplus_parametric"}
    assert set(ELEMENTWISE) == {*UNARY, *BINARY, *scaled, *rest, "threshold", "thresholded_relu"}


def test_a_mode_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownFormError, match="mode WILD"):
        gelu(Arguments({"x": WHOLE, "mode": "WILD"}))
