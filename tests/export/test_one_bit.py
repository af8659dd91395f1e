from collections.abc import Callable

import torch

from vitc.compress.quantize import Quantize
from vitc.export.one_bit import note
from vitc.models.backbone import Backbone


def test_attention_of_one_bit_says_so_and_nothing_else_does(small_vit: Callable[..., Backbone]) -> None:
    backbone, images = small_vit(depth=1), [torch.randn(4, 3, 32, 32)]
    plain, binary = (
        Quantize(attention=True, binary_attention=on, equalize=(), rounding="nearest").apply(backbone, images)
        for on in (False, True)
    )
    assert note(backbone, "bytes") == note(plain, "bytes") == ""
    assert note(binary, "bytes") == "attention's shares have 1 bit, bytes executed"
