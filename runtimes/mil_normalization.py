"""The operators of MIL that reduce axes or normalize along them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .mil_arguments import Arguments, Operator
from .mil_elementwise import per_channel


def reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    """The operator that reduces `axes`, or all of them."""

    def operator(a: Arguments) -> Tensor:
        x = a.tensor("x")
        axes = list(range(x.dim())) if a.values.get("axes") is None else a.ints("axes")
        return function(x, axes, a.flag("keep_dims"))

    return operator


def product(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001  (as torch's own reductions take it)
    """The product over axes; torch's takes one at a time."""
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keep)
    return x


def place(function: Callable[[Tensor, int, bool], Tensor]) -> Operator:
    """The operator that finds a place along `axis`."""
    return lambda a: function(a.tensor("x"), a.integer("axis"), a.flag("keep_dims"))


def softmax(a: Arguments) -> Tensor:
    """exp(x) over its sum along an axis."""
    return torch.softmax(a.tensor("x"), a.integer("axis"))


def layer_norm(a: Arguments) -> Tensor:
    """To mean 0 and variance 1 over `axes`, which gamma and beta run along."""
    x, gamma, beta, epsilon = a.tensor("x"), a.maybe("gamma"), a.maybe("beta"), a.number("epsilon")
    axes = list(range(x.dim())) if a.values.get("axes") is None else sorted(axis % x.dim() for axis in a.ints("axes"))
    sizes = [x.shape[axis] for axis in axes]
    if axes == list(range(x.dim() - len(axes), x.dim())):
        return functional.layer_norm(x, sizes, gamma, beta, epsilon)
    view = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    normal = (x - x.mean(axes, keepdim=True)) * torch.rsqrt(x.var(axes, correction=0, keepdim=True) + epsilon)
    normal = normal if gamma is None else normal * gamma.reshape(view)
    return normal if beta is None else normal + beta.reshape(view)


def batch_norm(a: Arguments) -> Tensor:
    """By the mean and variance of the training, by channel."""
    x, gamma, beta = a.tensor("x"), a.maybe("gamma"), a.maybe("beta")
    return functional.batch_norm(x, a.tensor("mean"), a.tensor("variance"), gamma, beta, eps=a.number("epsilon"))


def instance_norm(a: Arguments) -> Tensor:
    """To mean 0 and variance 1 over the pixels of each channel."""
    x, gamma, beta = a.tensor("x"), a.maybe("gamma"), a.maybe("beta")
    normal = functional.layer_norm(x, x.shape[2:], eps=a.number("epsilon"))
    normal = normal if gamma is None else normal * per_channel(gamma, x)
    return normal if beta is None else normal + per_channel(beta, x)


def l2_norm(a: Arguments) -> Tensor:
    """Divided by the root of the sum of squares over the last three axes."""
    x = a.tensor("x")
    return x * torch.rsqrt(x.square().sum((-3, -2, -1), keepdim=True) + a.tensor("epsilon"))


def local_response_norm(a: Arguments) -> Tensor:
    """Divided by what the neighbouring channels hold."""
    alpha, beta, k = (a.number(name) for name in ("alpha", "beta", "k"))
    return functional.local_response_norm(a.tensor("x"), a.integer("size"), alpha, beta, k)


def cumsum(a: Arguments) -> Tensor:
    """Running sums, from the back and without the own value where asked."""
    x, axis = a.tensor("x"), a.integer("axis")
    source = x.flip(axis) if a.flag("reverse") else x
    total = source.cumsum(axis)
    total = total - source if a.flag("exclusive") else total
    return total.flip(axis) if a.flag("reverse") else total


def argsort(a: Arguments) -> Tensor:
    """The places in descending order, or in ascending order."""
    return torch.argsort(a.tensor("x"), dim=a.integer("axis"), descending=not a.flag("ascending"), stable=True)


def topk(a: Arguments) -> tuple[Tensor, ...]:
    """The k largest values, or smallest, and their places."""
    values, places = torch.topk(a.tensor("x"), a.integer("k"), a.integer("axis"), largest=not a.flag("ascending"))
    wanted = a.values.get("return_indices") is None or a.flag("return_indices")
    return (values, places) if wanted else (values,)


NORMALIZATION: dict[str, Operator] = {
    "argsort": argsort,
    "batch_norm": batch_norm,
    "cumsum": cumsum,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
    "reduce_argmax": place(torch.argmax),
    "reduce_argmin": place(torch.argmin),
    "reduce_l1_norm": reduction(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "reduce_l2_norm": reduction(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "reduce_log_sum": reduction(lambda x, axes, keep: x.sum(axes, keep).log()),
    "reduce_log_sum_exp": reduction(torch.logsumexp),
    "reduce_max": reduction(torch.amax),
    "reduce_mean": reduction(lambda x, axes, keep: x.float().mean(axes, keep)),
    "reduce_min": reduction(torch.amin),
    "reduce_prod": reduction(product),
    "reduce_sum": reduction(torch.sum),
    "reduce_sum_square": reduction(lambda x, axes, keep: x.square().sum(axes, keep)),
    "softmax": softmax,
    "topk": topk,
}
