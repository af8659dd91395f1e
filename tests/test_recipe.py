"""What a recipe means: the steps of the run, their order, and what does not go together."""

from typing import Any

import pytest

from vitc.compress.quantize import Quantize
from vitc.compress.recover import Recover
from vitc.compress.structure import Prune
from vitc.compress.tokens import Merge
from vitc.compress.widths import Override
from vitc.errors import UserError
from vitc.recipe import PTQ, Recipe


def test_nothing_said_is_the_demo_in_int8() -> None:
    recipe = Recipe()
    assert (recipe.model, recipe.data, recipe.ptq, recipe.export) == ("demo", "demo", "int8", ("onnx",))
    assert recipe.technique == PTQ["int8"]
    assert recipe.runtimes_of("onnx") == ("onnxruntime",)


@pytest.mark.parametrize(
    ("words", "bits"),
    [
        ({}, None),
        ({"export": ("onnx", "openvino")}, 8),
        ({"export": ("openvino",), "ptq": "w4a4"}, None),
        ({"export": ("openvino",), "attention": False}, None),
        ({"ptq": "w4a4", "attention": True}, 4),
    ],
)
def test_attention_is_rounded_in_8_bits_for_targets_that_gain(words: dict[str, Any], bits: int | None) -> None:
    technique = Recipe(**words).technique
    assert technique is not None
    assert (technique.activation_bits if technique.attention else None) == bits


def test_steps_stand_in_the_order_in_which_they_are_taken() -> None:
    recipe = Recipe(ptq="int4", prune="neurons=0.2", merge="8:few")
    assert [row.name for row, _ in recipe.steps] == ["merge", "prune", "quantize"]
    assert [technique for _, technique in recipe.steps] == [Merge("8:few"), Prune(0.2), recipe.technique]
    assert recipe.calibrated
    assert not Recipe(ptq="off", merge="8").calibrated
    assert Recipe(ptq="off", prune="neurons=0.2", calib="images").calibrated
    with pytest.raises(UserError, match="choose one"):
        Recipe(merge="8", drop="8")
    with pytest.raises(UserError, match="do not go with --merge and --drop"):
        Recipe(merge="8", prune="macs=0.5")
    with pytest.raises(UserError, match="'eight' is no schedule"):
        Recipe(merge="eight")


def test_recovery_comes_before_the_bits_unless_they_are_all_there_is_to_recover_from() -> None:
    words: dict[str, Any] = {"recover": "30", "recover_data": "photos", "seed": 7}
    recipe = Recipe(ptq="int4", merge="8", **words)
    assert [row.name for row, _ in recipe.steps] == ["merge", "recover", "quantize"]
    assert recipe.steps[1][1] == Recover("30", seed=7)
    assert [row.name for row, _ in Recipe(ptq="w4a4", **words).steps] == ["quantize", "recover"]
    assert not Recipe(ptq="off", merge="8", **words).calibrated


@pytest.mark.parametrize(("effort", "alone"), [("fast", 0.0), ("normal", 0.25), ("high", 0.0)])
def test_attention_of_one_bit_learns_alone_for_a_share_that_is_the_efforts(effort: str, alone: float) -> None:
    words: dict[str, Any] = {"ptq": "binary", "effort": effort, "recover": "30", "recover_data": "photos"}
    for binary, share in ((True, alone), (False, 0.0)):
        (_, quantize), (_, recover) = Recipe(binary_attention=binary, **words).steps
        assert isinstance(quantize, Quantize)
        assert isinstance(recover, Recover)
        assert quantize.binary_attention == binary
        assert recover.how.attention_first == share


@pytest.mark.parametrize("ptq", ["int8", "int4", "w6a6", "binary2", "binary"])
def test_attention_of_one_bit_goes_with_any_quantization_and_with_none_it_is_refused(ptq: str) -> None:
    technique = Recipe(ptq=ptq, binary_attention=True).technique
    assert technique is not None
    assert technique.precision.endswith("-binary-attention")
    with pytest.raises(UserError, match="--binary-attention goes with quantization; leave it out, or choose"):
        Recipe(ptq="off", binary_attention=True)


def test_layers_that_keep_their_bits_are_named_or_counted() -> None:
    technique = Recipe(ptq="binary", keep=("2", "blocks.0.*", "depthwise")).technique
    assert technique is not None
    assert technique.keep == 2
    assert technique.layers == (Override("blocks.0.*", 8), Override("depthwise", 8))
    assert Recipe(keep=("1",), layers={"blocks.0.*": {"weight_bits": 1}}).technique is not None


def test_what_is_off_is_no_technique() -> None:
    assert Recipe(ptq="off").technique is None
    assert Recipe(runtime=("none",)).runtimes_of("onnx") == ()
