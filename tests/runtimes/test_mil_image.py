from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitc.runtimes.mil_arguments import Arguments, UnknownFormError
from vitc.runtimes.mil_image import IMAGE, points, resize, upsample_bilinear

mb = pytest.importorskip("coremltools.converters.mil").Builder

X = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0))
SERIES = X.flatten(2)


def ones(x: Tensor) -> Tensor:
    return torch.ones_like(x)


CASES: dict[str, list[tuple[Any, Any, Tensor]]] = {
    "avg_pool": [
        (
            lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 2], strides=[2, 1], pad_type="valid"),
            lambda x: functional.avg_pool2d(x, (3, 2), (2, 1)),
            X,
        ),
        (
            lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
            lambda x: functional.avg_pool2d(x, 3, 2, 1),
            X,
        ),
        (
            lambda x: mb.avg_pool(
                x=x, kernel_sizes=[3, 3], pad_type="custom", pad=[0, 2, 1, 0], exclude_padding_from_average=True
            ),
            lambda x: (
                functional.avg_pool2d(functional.pad(x, (1, 0, 0, 2)), 3, 1)
                / functional.avg_pool2d(functional.pad(ones(x), (1, 0, 0, 2)), 3, 1)
            ),
            X,
        ),
        (
            lambda x: mb.avg_pool(
                x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="custom", pad=[0, 0, 0, 0], ceil_mode=True
            ),
            lambda x: functional.avg_pool2d(x, 2, 2, ceil_mode=True),
            X,
        ),
        (
            lambda x: mb.avg_pool(x=x, kernel_sizes=[5], strides=[3], pad_type="same"),
            lambda x: functional.avg_pool1d(functional.pad(x, (1, 2)), 5, 3),
            SERIES[..., :-1],
        ),
    ],
    "max_pool": [
        (
            lambda x: mb.max_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
            lambda x: functional.max_pool2d(x, 3, 2, 1),
            X - 9,
        ),
        (
            lambda x: mb.max_pool(
                x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="custom", pad=[0, 0, 0, 0], ceil_mode=True
            ),
            lambda x: functional.max_pool2d(x, 2, 2, ceil_mode=True),
            X,
        ),
        (
            lambda x: mb.max_pool(x=x, kernel_sizes=[4], strides=[2], pad_type="valid"),
            lambda x: functional.max_pool1d(x, 4, 2),
            SERIES,
        ),
    ],
    "resize": [
        (
            lambda x: mb.resize(x=x, shape=[9, 0], resized_dims=np.uint32(2), sampling_mode="UNALIGN_CORNERS"),
            lambda x: functional.interpolate(x, (9, 6), mode="bilinear"),
            X,
        ),
        (
            lambda x: mb.resize(x=x, shape=[3, 13], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR"),
            lambda x: functional.interpolate(x, (3, 13)),
            X,
        ),
    ],
    "resize_bilinear": [
        (
            lambda x: mb.resize_bilinear(
                x=x, target_size_height=9, target_size_width=4, sampling_mode="STRICT_ALIGN_CORNERS"
            ),
            lambda x: functional.interpolate(x, (9, 4), mode="bilinear", align_corners=True),
            X,
        ),
        (
            lambda x: mb.resize_bilinear(x=x, target_size_height=14, target_size_width=12),
            lambda x: functional.interpolate(
                functional.pad(x, (0, 1, 0, 1), "replicate"), (15, 13), mode="bilinear", align_corners=True
            )[..., :14, :12],
            X,
        ),
    ],
    "resize_nearest_neighbor": [
        (
            lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=5, target_size_width=11),
            lambda x: functional.interpolate(x, (5, 11)),
            X,
        )
    ],
    "upsample_bilinear": [
        (
            lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3, align_corners=True),
            lambda x: functional.interpolate(x, (14, 18), mode="bilinear", align_corners=True),
            X,
        ),
        (
            lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3, align_corners=False),
            lambda x: functional.interpolate(x, (14, 18), mode="bilinear", align_corners=False),
            X,
        ),
    ],
    "upsample_nearest_neighbor": [
        (
            lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2.0, scale_factor_width=1.5),
            lambda x: functional.interpolate(x, (14, 9)),
            X,
        )
    ],
}


def test_every_operator_is_tested() -> None:
    assert set(CASES) == set(IMAGE)


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_operator_is_torchs(name: str, interpret: Callable[..., Tensor]) -> None:
    for build, expected, x in CASES[name]:
        torch.testing.assert_close(interpret(build, x), expected(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "after", "expected"),
    [
        ("UNALIGN_CORNERS", 5, [0, 0.1, 0.5, 0.9, 1]),
        ("STRICT_ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("DEFAULT", 5, [0, 0.4, 0.8, 1, 1]),
        ("OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
        ("STRICT_ALIGN_CORNERS", 1, [0]),
        ("ALIGN_CORNERS", 1, [0.5]),
    ],
)
def test_sampling_points_are_those_of_the_description(mode: str, after: int, expected: list[float]) -> None:
    np.testing.assert_allclose(points(2, after, mode).numpy(), expected, atol=1e-12)


def test_a_form_that_is_not_known_is_named() -> None:
    yes, size = torch.tensor([1]), torch.tensor([4, 4])
    with pytest.raises(UnknownFormError, match="sampling_mode ODD"):
        points(2, 5, "ODD")
    with pytest.raises(UnknownFormError, match="half_pixel_centers"):
        upsample_bilinear(Arguments({"x": X, "align_corners": yes, "half_pixel_centers": yes}))
    with pytest.raises(UnknownFormError, match="resized_dims 3"):
        resize(Arguments({"x": X, "shape": size, "resized_dims": torch.tensor(3)}))
    words = {"interpolation_mode": "NEAREST_NEIGHBOR", "sampling_mode": "OFFSET_CORNERS"}
    with pytest.raises(UnknownFormError, match="nearest neighbours with sampling_mode OFFSET_CORNERS"):
        resize(Arguments({"x": X, "shape": size, "resized_dims": torch.tensor(2), **words}))
