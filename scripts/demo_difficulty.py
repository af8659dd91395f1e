"""Say how well the demo tells techniques apart: its float top-1 on unseen images, and what naive 4-bit rounding costs.

    python scripts/demo_difficulty.py [IMAGES]

Naive means: weights and inputs of every linear and convolution rounded to 16 levels between their extremes, one scale a
tensor. A set on which even that costs little would tell nothing about better techniques.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitc.models import demo, demo_images, train_demo

UNSEEN_SEED = 11
BITS = 4


def rounded(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The values on the grid between their extremes."""
    step = (high - low) / (2**BITS - 1)
    codes = ((values - low) / step).round().clamp(0, 2**BITS - 1)
    result: Tensor = codes * step + low
    return result


@contextmanager
def naive(module: nn.Module, calibration: Tensor) -> Iterator[None]:
    """Round weights and inputs while the block runs; the inputs' extremes are those of the calibration images."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    extremes: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = torch.aminmax(inputs[0])
        extremes[layer] = (low, high)

    def coarse(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (rounded(inputs[0], *extremes[layer]), *inputs[1:])

    handles = [layer.register_forward_pre_hook(watch) for layer in layers]
    module(calibration)
    for handle in handles:
        handle.remove()
    handles = [layer.register_forward_pre_hook(coarse) for layer in layers]
    kept = [layer.weight.data for layer in layers]
    for layer in layers:
        low, high = torch.aminmax(layer.weight.data)
        layer.weight.data = rounded(layer.weight.data, low, high)
    yield
    for layer, weight in zip(layers, kept, strict=True):
        layer.weight.data = weight
    for handle in handles:
        handle.remove()


def main() -> None:
    """Score both, and print the two figures."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    unseen = train_demo.pool(UNSEEN_SEED, images, workers=2)
    calibration = train_demo.normalized(train_demo.pool(UNSEEN_SEED + 1, 96, workers=0).images)
    module = demo.load("demo").module
    with torch.inference_mode():
        plain = train_demo.accuracy(module, unseen)
        with naive(module, calibration):
            coarse = train_demo.accuracy(module, unseen)
    classes = len(demo_images.CLASSES)
    print(f"{classes} classes, {images} unseen images: float top-1 {plain:.2f} %, naive W4A4 {coarse:.2f} %")


if __name__ == "__main__":
    main()
