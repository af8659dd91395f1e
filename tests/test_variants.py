"""A target sees a backbone as its own scheme rounds it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from vitc.compress.attention import is_rounded, operands
from vitc.compress.ops import ROUNDING, scheme_of
from vitc.compress.quantize import Quantize
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm
from vitc.variants import Variant


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.GELU(), nn.Linear(16, 5)).eval()
    return Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")


@pytest.fixture
def quantized(backbone: Backbone) -> Variant:
    return Variant(Quantize().apply(backbone, [torch.randn(8, 3, 4, 4)]), Path("out"))


def test_a_float_backbone_is_the_same_for_all(backbone: Backbone) -> None:
    variant = Variant(backbone, Path("out"))
    assert variant.under("symmetric") is variant
    assert variant.simulation == "fp32 torch"


def test_the_scheme_it_was_calibrated_under_changes_nothing(quantized: Variant) -> None:
    assert quantized.under("asymmetric") is quantized
    assert quantized.simulation == "int8 torch"


def test_another_scheme_rounds_otherwise_and_leaves_the_first_alone(quantized: Variant) -> None:
    other = quantized.under("symmetric")
    assert (scheme_of(other.backbone.module), scheme_of(quantized.backbone.module)) == ("symmetric", "asymmetric")
    assert other.simulation == "int8 symmetric torch"
    assert other.key != quantized.key
    x = torch.randn(4, 3, 4, 4)
    one, two = quantized.backbone.module(x), other.backbone.module(x)
    assert not torch.equal(one, two)
    torch.testing.assert_close(one, two, atol=0.1, rtol=0.1)


def test_attention_is_left_float_for_who_asks() -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, embed_dim=24, num_heads=3).eval()
    backbone = Backbone("vit", module, Preprocessing((3, 32, 32)), 1000, (), "abc")
    rounded = Variant(Quantize(attention=True).apply(backbone, [torch.randn(8, 3, 32, 32)]), Path("out"))
    floats = rounded.under("symmetric", float_attention=True)
    assert rounded.under("asymmetric") is rounded
    assert floats.simulation == "int8 symmetric float-attention torch"
    assert floats.under("symmetric", float_attention=True) is floats
    assert len({rounded.key, floats.key, rounded.under("asymmetric", float_attention=True).key}) == 3
    program = rounded.backbone.module
    assert isinstance(program, GraphModule)
    assert is_rounded(program), "it is left alone"


def test_the_values_that_one_bit_weighs_stay_rounded() -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, embed_dim=24, num_heads=3).eval()
    backbone = Backbone("vit", module, Preprocessing((3, 32, 32)), 1000, (), "abc")
    images = [torch.randn(8, 3, 32, 32)]
    bare, whole = (
        Variant(Quantize(binary_attention=True, attention=on).apply(backbone, images), Path("out"))
        for on in (False, True)
    )
    assert bare.under("asymmetric", float_attention=True) is bare, "queries and keys are float as it is"
    assert whole.under("asymmetric") is whole
    floats = whole.under("asymmetric", float_attention=True)
    assert floats.simulation == "int8-binary-attention float-scores torch"
    for variant, rounded in ((bare, ["value"]), (whole, ["query", "key", "value"]), (floats, ["value"])):
        program = variant.backbone.module
        assert isinstance(program, GraphModule)
        assert [one.role for one in operands(program) if one.node.target in ROUNDING] == rounded
