from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitc.runtimes.mil_normalization import NORMALIZATION

mb = pytest.importorskip("coremltools.converters.mil").Builder

X = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
THREE = np.array([0.5, 1.0, 2.0], dtype=np.float32)
FIVE = np.linspace(-1, 1, 5, dtype=np.float32)
GRID = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
t = torch.from_numpy


def whole(x: Any) -> Any:
    return mb.cast(x=x, dtype="fp32")


def by_hand(x: Tensor) -> Tensor:
    """Layer normalization over axes in the middle, where torch has none."""
    centred = x - x.mean((1, 2), keepdim=True)
    scaled = centred / (centred.square().mean((1, 2), keepdim=True) + 0.01).sqrt()
    return scaled * t(GRID)[:, :, None] + t(GRID)[:, :, None]


CASES: dict[str, list[tuple[Any, Any]]] = {
    "argsort": [
        (lambda x: whole(mb.argsort(x=x, axis=-1)), lambda x: x.argsort(-1, descending=True).float()),
        (lambda x: whole(mb.argsort(x=x, axis=1, ascending=True)), lambda x: x.argsort(1).float()),
    ],
    "batch_norm": [
        (
            lambda x: mb.batch_norm(x=x, mean=THREE, variance=THREE, gamma=THREE, beta=-THREE, epsilon=0.1),
            lambda x: functional.batch_norm(x, t(THREE), t(THREE), t(THREE), t(-THREE), eps=0.1),
        ),
        (
            lambda x: mb.batch_norm(x=x, mean=THREE, variance=THREE),
            lambda x: functional.batch_norm(x, t(THREE), t(THREE)),
        ),
    ],
    "cumsum": [
        (lambda x: mb.cumsum(x=x, axis=1), lambda x: x.cumsum(1)),
        (
            lambda x: mb.cumsum(x=x, axis=-1, exclusive=True, reverse=True),
            lambda x: x.flip(-1).cumsum(-1).flip(-1) - x,
        ),
    ],
    "instance_norm": [
        (
            lambda x: mb.instance_norm(x=x, gamma=THREE, beta=-THREE, epsilon=0.1),
            lambda x: functional.instance_norm(x, weight=t(THREE), bias=t(-THREE), eps=0.1),
        )
    ],
    "l2_norm": [
        (lambda x: mb.l2_norm(x=x, epsilon=0.1), lambda x: x / (x.square().sum((1, 2, 3), keepdim=True) + 0.1).sqrt())
    ],
    "layer_norm": [
        (
            lambda x: mb.layer_norm(x=x, axes=[-1], gamma=FIVE, beta=FIVE, epsilon=0.1),
            lambda x: functional.layer_norm(x, (5,), t(FIVE), t(FIVE), 0.1),
        ),
        (lambda x: mb.layer_norm(x=x, axes=[2, 3]), lambda x: functional.layer_norm(x, (4, 5))),
        (lambda x: mb.layer_norm(x=x, axes=[1, 2], gamma=GRID, beta=GRID, epsilon=0.01), by_hand),
    ],
    "local_response_norm": [
        (
            lambda x: mb.local_response_norm(x=x, size=3, alpha=0.1, beta=0.7, k=2.0),
            lambda x: functional.local_response_norm(x, 3, 0.1, 0.7, 2.0),
        )
    ],
    "reduce_argmax": [(lambda x: whole(mb.reduce_argmax(x=x, axis=-1)), lambda x: x.argmax(-1).float())],
    "reduce_argmin": [
        (lambda x: whole(mb.reduce_argmin(x=x, axis=1, keep_dims=True)), lambda x: x.argmin(1, keepdim=True).float())
    ],
    "reduce_l1_norm": [(lambda x: mb.reduce_l1_norm(x=x, axes=[1]), lambda x: torch.linalg.vector_norm(x, 1, 1))],
    "reduce_l2_norm": [
        (lambda x: mb.reduce_l2_norm(x=x, axes=[1, -1]), lambda x: torch.linalg.vector_norm(x, 2, (1, 3)))
    ],
    "reduce_log_sum": [
        (lambda x: mb.reduce_log_sum(x=mb.square(x=x), axes=[0]), lambda x: (x * x).sum(0).log()),
    ],
    "reduce_log_sum_exp": [(lambda x: mb.reduce_log_sum_exp(x=x, axes=[2]), lambda x: x.exp().sum(2).log())],
    "reduce_max": [(lambda x: mb.reduce_max(x=x, axes=[0, 2]), lambda x: x.amax((0, 2)))],
    "reduce_mean": [
        (lambda x: mb.reduce_mean(x=x, axes=[-1, -2], keep_dims=True), lambda x: x.mean((2, 3), keepdim=True)),
        (lambda x: mb.add(x=mb.reduce_mean(x=x), y=x), lambda x: x.mean() + x),
    ],
    "reduce_min": [(lambda x: mb.reduce_min(x=x, axes=[1]), lambda x: x.amin(1))],
    "reduce_prod": [(lambda x: mb.reduce_prod(x=x, axes=[1, 3]), lambda x: x.prod(3).prod(1))],
    "reduce_sum": [(lambda x: mb.reduce_sum(x=x, axes=[1], keep_dims=True), lambda x: x.sum(1, keepdim=True))],
    "reduce_sum_square": [(lambda x: mb.reduce_sum_square(x=x, axes=[3]), lambda x: (x * x).sum(3))],
    "softmax": [(lambda x: mb.softmax(x=x, axis=1), lambda x: x.exp() / x.exp().sum(1, keepdim=True))],
    "topk": [
        (lambda x: mb.topk(x=x, k=2, axis=-1)[0], lambda x: x.sort(-1, descending=True)[0][..., :2]),
        (lambda x: whole(mb.topk(x=x, k=2, axis=1, ascending=True)[1]), lambda x: x.argsort(1)[:, :2].float()),
    ],
}


def test_every_operator_is_tested() -> None:
    assert set(CASES) == set(NORMALIZATION)


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_operator_is_what_its_name_says(name: str, interpret: Callable[..., Tensor]) -> None:
    for build, expected in CASES[name]:
        torch.testing.assert_close(interpret(build, X), expected(X), rtol=1e-5, atol=1e-5)
