from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitc.runtimes.mil_arguments import Arguments, UnknownFormError
from vitc.runtimes.mil_shape import SHAPE, gather, gather_nd, pad, scatter_nd, slice_update

mb = pytest.importorskip("coremltools.converters.mil").Builder

X = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 4)
IMAGE = torch.arange(1 * 8 * 4 * 6, dtype=torch.float32).reshape(1, 8, 4, 6)
LINE = torch.tensor([3.0, 1.0, 2.0])
POINTS, ONES = [[0, 1], [1, 2]], np.ones((2, 4), np.float32)


def number(x: Any) -> Any:
    return mb.cast(x=x, dtype="fp32")


CASES: dict[str, list[tuple[Any, Any, Tensor]]] = {
    "band_part": [
        (lambda x: mb.band_part(x=x, lower=-1, upper=0), torch.tril, X),
        (lambda x: mb.band_part(x=x, lower=0, upper=-1), torch.triu, X),
        (lambda x: mb.band_part(x=x, lower=1, upper=1), lambda x: torch.triu(torch.tril(x, 1), -1), X),
    ],
    "concat": [
        (lambda x: mb.concat(values=[x, x], axis=-1), lambda x: torch.cat([x, x], -1), X),
        (
            lambda x: mb.concat(values=[x, mb.square(x=x)], axis=1, interleave=True),
            lambda x: torch.stack([x, x * x], 2).reshape(2, 6, 4),
            X,
        ),
    ],
    "crop": [(lambda x: mb.crop(x=x, crop_height=[1, 0], crop_width=[0, 2]), lambda x: x[..., 1:, :-2], IMAGE)],
    "depth_to_space": [
        (
            lambda x: mb.depth_to_space(x=x, block_size=2),
            lambda x: functional.pixel_shuffle(x.reshape(1, 4, 2, 4, 6).transpose(1, 2).reshape(1, 8, 4, 6), 2),
            IMAGE,
        )
    ],
    "expand_dims": [(lambda x: mb.expand_dims(x=x, axes=[0, -2]), lambda x: x.reshape(1, 2, 3, 1, 4), X)],
    "fill": [
        (lambda x: mb.add(x=x, y=mb.fill(shape=[3, 4], value=2.5)), lambda x: x + 2.5, X),
    ],
    "fill_like": [(lambda x: mb.fill_like(ref_tensor=x, value=7.0), lambda x: torch.full_like(x, 7), X)],
    "flatten2d": [(lambda x: mb.flatten2d(x=x, axis=-1), lambda x: x.reshape(6, 4), X)],
    "gather": [
        (lambda x: mb.gather(x=x, indices=[2, 0], axis=-2), lambda x: x[:, [2, 0]], X),
        (lambda x: mb.gather(x=x, indices=np.int32(1), axis=1), lambda x: x[:, 1], X),
        (lambda x: mb.gather(x=x, indices=[[0, 1], [3, 3]], axis=2), lambda x: x[:, :, [[0, 1], [3, 3]]], X),
    ],
    "gather_along_axis": [
        (
            lambda x: mb.gather_along_axis(x=x, indices=np.array([[[1, 0, 2, 2]]] * 2, np.int32), axis=1),
            lambda x: torch.gather(x, 1, torch.tensor([[[1, 0, 2, 2]]] * 2)),
            X,
        )
    ],
    "gather_nd": [(lambda x: mb.gather_nd(x=x, indices=[[0, 2], [1, 1]]), lambda x: x[[0, 1], [2, 1]], X)],
    "identity": [(lambda x: mb.identity(x=x), torch.clone, X)],
    "one_hot": [
        (
            lambda x: mb.one_hot(
                indices=mb.cast(x=x, dtype="int32"), one_hot_vector_size=4, on_value=2, off_value=0, axis=0
            ),
            lambda x: 2.0 * functional.one_hot(x.long(), 4).T,
            LINE,
        )
    ],
    "pad": [
        (
            lambda x: mb.pad(x=x, pad=[1, 2, 0, 3], mode="constant", constant_val=9.0),
            lambda x: functional.pad(x, (0, 3, 1, 2), value=9),
            X,
        ),
        (
            lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], mode="reflect"),
            lambda x: functional.pad(x[None], (3, 0, 1, 2), "reflect")[0],
            X,
        ),
        (
            lambda x: mb.pad(x=x, pad=[1, 3, 4, 0], mode="replicate"),
            lambda x: functional.pad(x[None], (4, 0, 1, 3), "replicate")[0],
            X,
        ),
    ],
    "pixel_shuffle": [
        (lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), lambda x: functional.pixel_shuffle(x, 2), IMAGE)
    ],
    "pixel_unshuffle": [
        (
            lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)),
            lambda x: functional.pixel_unshuffle(x, 2),
            IMAGE,
        )
    ],
    "range_1d": [
        (lambda x: mb.add(x=x, y=number(mb.range_1d(start=1, end=8, step=2))), lambda x: x + x.new([1, 3, 5, 7]), X)
    ],
    "reshape": [
        (lambda x: mb.reshape(x=x, shape=[4, -1]), lambda x: x.reshape(4, 6), X),
        (lambda x: mb.reshape(x=x, shape=[1, 0, -1, 0]), lambda x: x.reshape(1, 2, 3, 4), X),
        (lambda x: mb.reshape(x=x, shape=[0, 0, 6, 2]), lambda x: x.reshape(1, 2, 6, 2), X),
    ],
    "reverse": [
        (lambda x: mb.reverse(x=x, axes=[0, 2]), lambda x: x.flip(0, 2), X),
        (lambda x: mb.reverse(x=x), lambda x: x.flip(0, 1, 2), X),
    ],
    "scatter_nd": [
        (
            lambda x: mb.scatter_nd(data=x, indices=POINTS, updates=ONES, mode="add"),
            lambda x: x + functional.pad(torch.eye(2), (1, 0))[:, :, None],
            X,
        ),
        (
            lambda x: mb.scatter_nd(data=x, indices=POINTS, updates=ONES, mode="update"),
            lambda x: torch.where(functional.pad(torch.eye(2), (1, 0))[:, :, None] > 0, 1, x),
            X,
        ),
    ],
    "shape": [(lambda x: mb.mul(x=number(mb.shape(x=x)), y=mb.reduce_max(x=x)), lambda x: x.new([46, 69, 92]), X)],
    "slice_by_index": [
        (lambda x: mb.slice_by_index(x=x, begin=[0, 1, 0], end=[2, 3, 4]), lambda x: x[:, 1:3], X),
        (lambda x: mb.slice_by_index(x=x, begin=[0, -2, 0], end=[1, -1, 4]), lambda x: x[:1, -2:-1], X),
        (
            lambda x: mb.slice_by_index(
                x=x,
                begin=[1, 2, 3],
                end=[0, 9, 0],
                stride=[1, 1, -2],
                begin_mask=[False, True, False],
                end_mask=[True, True, True],
                squeeze_mask=[True, False, False],
            ),
            lambda x: x[1][:, [3, 1]],
            X,
        ),
    ],
    "slice_by_size": [
        (lambda x: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[2, 1, -1]), lambda x: x[:, 1:2, 2:], X),
    ],
    "slice_update": [
        (
            lambda x: mb.slice_update(x=x, update=mb.square(x=x), begin=[0] * 3, end=[0] * 3, end_mask=[True] * 3),
            torch.square,
            X,
        ),
        (
            lambda x: mb.slice_update(
                x=x, update=np.zeros((2, 2, 2), np.float32), begin=[0, 1, 0], end=[2, 3, 4], stride=[1, 1, 2]
            ),
            lambda x: x * x.new([[1, 1, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1]]),
            X,
        ),
    ],
    "space_to_depth": [
        (
            lambda x: mb.space_to_depth(x=x, block_size=2),
            lambda x: functional.pixel_unshuffle(x, 2).reshape(1, 8, 4, 2, 3).transpose(1, 2).reshape(1, 32, 2, 3),
            IMAGE,
        )
    ],
    "split": [
        (lambda x: mb.split(x=x, split_sizes=[1, 3], axis=-1)[1], lambda x: x[..., 1:], X),
        (lambda x: mb.split(x=x, num_splits=3, axis=1)[2], lambda x: x[:, 2:], X),
    ],
    "squeeze": [
        (lambda x: mb.squeeze(x=mb.expand_dims(x=x, axes=[0, 2]), axes=[-3]), lambda x: x[None], X),
        (lambda x: mb.squeeze(x=mb.expand_dims(x=x, axes=[0, 2])), torch.clone, X),
    ],
    "stack": [(lambda x: mb.stack(values=[x, mb.abs(x=x)], axis=1), lambda x: torch.stack([x, x.abs()], 1), X)],
    "tile": [(lambda x: mb.tile(x=x, reps=[1, 2, 3]), lambda x: x.repeat(1, 2, 3), X)],
    "transpose": [(lambda x: mb.transpose(x=x, perm=[-1, 0, 1]), lambda x: x.permute(2, 0, 1), X)],
}


def test_every_operator_is_tested() -> None:
    assert set(CASES) == set(SHAPE)


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_land_where_they_belong(name: str, interpret: Callable[..., Tensor]) -> None:
    for build, expected, x in CASES[name]:
        found = interpret(build, x, "iOS18" if name == "slice_update" else "iOS17")
        assert torch.equal(found, expected(x)), build


@pytest.mark.parametrize(
    ("operator", "values", "form"),
    [
        (gather, {"indices": LINE, "axis": torch.tensor(0), "batch_dims": torch.tensor(1)}, "batch_dims"),
        (gather_nd, {"indices": LINE, "batch_dims": torch.tensor(1)}, "batch_dims"),
        (scatter_nd, {"mode": "mul"}, "mode mul"),
        (pad, {"pad": torch.tensor([1, 1]), "mode": "wrap"}, "mode wrap"),
        (
            slice_update,
            {"begin": torch.tensor([0] * 3), "end": torch.tensor([0] * 3), "stride": torch.tensor([1, -1, 1])},
            "negative stride",
        ),
        (
            slice_update,
            {"begin": torch.tensor([0] * 3), "end": torch.tensor([1] * 3), "squeeze_mask": torch.tensor([1, 0, 0])},
            "squeeze_mask",
        ),
    ],
)
def test_a_form_that_is_not_known_is_named(operator: Any, values: dict[str, Any], form: str) -> None:
    with pytest.raises(UnknownFormError, match=form):
        operator(Arguments({"x": X, **values}))
