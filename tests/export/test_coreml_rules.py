from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from vitc.export import coreml_ops, coreml_rules
from vitc.export.options import Options
from vitc.export.preflight import Subject
from vitc.libraries import coremltools
from vitc.models.backbone import Backbone, Preprocessing

pytest.importorskip("coremltools")
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, of copying a program
SIZE = (3, 8, 8)

Function = Callable[[Tensor], Tensor]
Traced = Callable[[Function], GraphModule]


@pytest.fixture
def traced(decomposed: Callable[..., ExportedProgram]) -> Traced:
    return lambda function: decomposed(function, SIZE, batch=2).graph_module


def windows(images: Tensor) -> Tensor:
    """Windows of 4 x 4, as Swin cuts them."""
    cut = images.reshape(-1, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1)
    return cut.contiguous().view(-1, 4, 4, 3)


@pytest.fixture
def subject(traced: Traced) -> Subject:
    """A relu of one image, of which nothing is known or wanted."""
    program = traced(torch.relu)
    return Subject(Backbone("a", program, Preprocessing(SIZE), 3, (), ""), program, {}, None, Options(batch=1))


def test_an_operator_without_a_translation_is_named_once(traced: Traced) -> None:
    coremltools()
    program = traced(lambda x: torch.special.erfcx(torch.special.erfcx(x)))
    (found,) = coreml_rules.unknown_operators(program)
    assert found.fatal
    assert found.what == "coremltools has no translation of aten::special_erfcx"
    assert found.where == "special_erfcx", "the first of them is named"


def test_known_operators_are_not_complained_of(traced: Traced) -> None:
    coremltools()
    coreml_ops.register()
    program = traced(lambda x: torch.ops.vitc.quantize(nn.functional.gelu(x), -1.0, 1.0, 8, "symmetric"))
    assert not list(coreml_rules.unknown_operators(program))


@pytest.mark.parametrize(
    "function",
    [
        windows,
        lambda x: x.reshape(2, 3, 2, 4, 2, 4).transpose(1, 4).reshape(2, -1),
        lambda x: x.reshape(2, 3, 2, 4, 2, 4).reshape(2, 3, -1) * 2,
    ],
)
def test_axes_that_are_permuted_between_reshapes_may_be_many(traced: Traced, function: Function) -> None:
    assert not list(coreml_rules.high_ranks(traced(function)))


@pytest.mark.parametrize(
    ("function", "culprit"),
    [
        (lambda x: (x.reshape(2, 3, 2, 4, 2, 4) * 2).reshape(2, -1), "mul"),
        (lambda x: x.reshape(2, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).sum(1), "permute"),
        (lambda x: x.reshape(2, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1), "permute"),
    ],
)
def test_values_of_six_axes_are_named(traced: Traced, function: Function, culprit: str) -> None:
    found = list(coreml_rules.high_ranks(traced(function)))
    assert all(finding.fatal and "6 axes" in finding.what for finding in found)
    assert culprit in [finding.where for finding in found]


def test_a_shape_that_depends_on_values_is_named(traced: Traced) -> None:
    (found,) = coreml_rules.free_dimensions(traced(lambda x: x[x > 0]))
    assert found.fatal
    assert found.rule == "shape"


def test_fixed_shapes_are_not_complained_of(traced: Traced) -> None:
    assert not list(coreml_rules.free_dimensions(traced(windows)))


def test_a_value_beyond_16_bits_is_fatal_and_the_worst_is_named(subject: Subject) -> None:
    (found,) = coreml_rules.overflow(replace(subject, peaks={"relu": 70000.0}))
    assert found.fatal
    assert (found.rule, found.where) == ("fp16 overflow", "relu")
    assert "7e+04" in found.what


@pytest.mark.parametrize("peak", [65504.0, 20000.0])
def test_a_value_that_comes_near_is_a_warning(subject: Subject, peak: float) -> None:
    (found,) = coreml_rules.overflow(replace(subject, peaks={"relu": peak}))
    assert not found.fatal


@pytest.mark.parametrize("peak", [16000.0, 3.4e38, float("inf")])
def test_small_values_and_masks_are_not_complained_of(subject: Subject, peak: float) -> None:
    assert not list(coreml_rules.overflow(replace(subject, peaks={"relu": peak})))


def test_a_weight_is_no_value_that_overflows(subject: Subject) -> None:
    assert not list(coreml_rules.overflow(replace(subject, peaks={"a_weight": 1e6})))


def test_a_batch_that_nobody_fixed_is_mentioned(subject: Subject) -> None:
    (found,) = coreml_rules.wishes(replace(subject, options=Options()))
    assert not found.fatal
    assert found.rule == "batch"


@pytest.mark.parametrize(("bits", "rules"), [(8, []), (6, ["packing"]), (4, []), (1, []), (None, [])])
def test_codes_that_cannot_be_packed_are_mentioned(subject: Subject, bits: int | None, rules: list[str]) -> None:
    assert [finding.rule for finding in coreml_rules.wishes(replace(subject, weight_bits=bits))] == rules


def test_an_image_of_two_channels_is_refused(subject: Subject) -> None:
    two = replace(subject.backbone, preprocessing=Preprocessing((2, 8, 8)))
    options = Options(batch=1, image_input=True)
    (found,) = coreml_rules.wishes(replace(subject, backbone=two, options=options))
    assert found.fatal
    assert found.rule == "image"


def test_several_images_at_once_are_refused(subject: Subject) -> None:
    (found,) = coreml_rules.wishes(replace(subject, options=Options(batch=4, image_input=True)))
    assert found.fatal
    assert "not 4" in found.what
