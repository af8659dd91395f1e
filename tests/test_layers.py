import pytest

from vitc.layers import SUFFIXES, layer_of

LAYER = "blocks.0.attn.qkv"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_weight_and_what_is_made_of_it_belong_to_its_layer(suffix: str) -> None:
    weight = f"{LAYER}.weight"
    assert layer_of(weight if suffix == ".weight" else weight + suffix) == LAYER


@pytest.mark.parametrize("ends", ["_flat_codes", "_flat_scale", "_codes_half", "_flat_codes_int4"])
def test_rewriting_in_steps_leaves_the_layer(ends: str) -> None:
    assert layer_of(f"{LAYER}.weight{ends}") == LAYER


@pytest.mark.parametrize("layer", ["head", "attn.qkv_codes.proj", "norm_scale", "weight", "0"])
def test_the_name_of_the_layer_itself_is_left_alone(layer: str) -> None:
    assert layer_of(f"{layer}.weight") == layer
    assert layer_of(f"{layer}.weight_codes") == layer
