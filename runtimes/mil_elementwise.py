"""The element-wise operators of MIL: arithmetic, comparisons, activations."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .mil_arguments import Arguments, Operator, UnknownFormError


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    """The operator that maps `x`."""
    return lambda a: function(a.tensor("x"))


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """The operator of `x` and `y`, broadcast."""
    return lambda a: function(a.tensor("x"), a.tensor("y"))


def scaled(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Operator:
    """The operator of `x`, `alpha` and `beta`."""
    return lambda a: function(a.tensor("x"), a.tensor("alpha"), a.tensor("beta"))


def shifted(function: Callable[[Tensor], Tensor]) -> Operator:
    """The operator that maps `x + epsilon`."""
    return lambda a: function(a.tensor("x") + a.tensor("epsilon"))


def by_alpha(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """The operator of `x` and `alpha`."""
    return lambda a: function(a.tensor("x"), a.tensor("alpha"))


def gelu(a: Arguments) -> Tensor:
    """GELU, exact or by one of its two approximations."""
    x, mode = a.tensor("x"), a.word("mode")
    if mode == "EXACT":
        return functional.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return functional.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise UnknownFormError(f"mode {mode}")


def select(a: Arguments) -> Tensor:
    """`a` where `cond` holds, else `b`."""
    return torch.where(a.tensor("cond").bool(), a.tensor("a"), a.tensor("b"))


def softplus_parametric(a: Arguments) -> Tensor:
    """The log of 1 + exp(beta * x), times alpha, by channel."""
    x = a.tensor("x")
    return per_channel(a.tensor("alpha"), x) * functional.softplus(per_channel(a.tensor("beta"), x) * x)


def prelu(a: Arguments) -> Tensor:
    """A slope below zero, by channel."""
    x = a.tensor("x")
    return torch.where(x >= 0, x, per_channel(a.tensor("alpha"), x) * x)


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """Values along the second axis of `x`."""
    return values.reshape(1, -1, *[1] * (x.dim() - 2))


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "cast": torch.clone,  # the declared type of its result says to what
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "relu": torch.relu,
    "relu6": functional.relu6,
    "round": torch.round,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": functional.silu,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "equal": torch.eq,
    "floor_div": torch.floor_divide,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mod": torch.remainder,
    "mul": torch.mul,
    "not_equal": torch.ne,
    "pow": torch.pow,
    "real_div": torch.true_divide,
    "sub": torch.sub,
}
SCALED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "clamped_relu": lambda x, alpha, beta: torch.minimum(beta, torch.where(x >= 0, x, alpha * x)),
    "clip": torch.clamp,
    "linear_activation": lambda x, alpha, beta: alpha * x + beta,
    "scaled_tanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "sigmoid_hard": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
}
ELEMENTWISE: dict[str, Operator] = {
    **{name: unary(function) for name, function in UNARY.items()},
    **{name: binary(function) for name, function in BINARY.items()},
    **{name: scaled(function) for name, function in SCALED.items()},
    "elu": by_alpha(lambda x, alpha: torch.where(x >= 0, x, alpha * torch.expm1(x))),
    "gelu": gelu,
    "inverse": shifted(torch.reciprocal),
    "leaky_relu": by_alpha(lambda x, alpha: torch.where(x >= 0, x, alpha * x)),
    "log": shifted(torch.log),
    "prelu": prelu,
    "rsqrt": shifted(torch.rsqrt),
    "select": select,
    "softplus_parametric": softplus_parametric,
    "threshold": by_alpha(torch.maximum),
    "thresholded_relu": by_alpha(lambda x, alpha: torch.where(x >= alpha, x, torch.zeros_like(x))),
}
