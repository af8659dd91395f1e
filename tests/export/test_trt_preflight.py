from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitc.export.options import Options
from vitc.export.preflight import Finding, subject
from vitc.export.trt_preflight import foresee
from vitc.models.backbone import Backbone, Preprocessing

SIZE = (3, 32, 32)
DEFAULTS = Options()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, *SIZE, generator=torch.Generator().manual_seed(0))


class Through(nn.Module):
    """A linear after some function of the images."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.head = function, nn.Linear(32, 2)

    def forward(self, images: Tensor) -> Any:
        return self.head(self.function(images)[:, 0, 0])


def found_in(
    function: Callable[[Tensor], Tensor], images: Tensor, bits: int | None = None, options: Options = DEFAULTS
) -> list[Finding]:
    torch.manual_seed(0)
    backbone = Backbone("tiny", Through(function).eval(), Preprocessing(SIZE), 2, ("cat", "dog"), "abc")
    return list(foresee(subject(backbone, bits, options, images)))


def test_modest_values_have_no_findings(images: Tensor) -> None:
    assert found_in(lambda x: nn.functional.layer_norm(x, [32]), images, 8) == []


@pytest.mark.parametrize(
    ("function", "fatal"),
    [
        (lambda x: (x * 1e5).clamp(-1, 1), [True]),
        (lambda x: (x * 5e3).clamp(-1, 1), [False]),
        (lambda x: x * 1e3, []),
        (lambda x: (x * 2e3).pow(2).mean(1, keepdim=True).sqrt(), []),
        (lambda x: ((x * 2e3) * (x * 2e3)).mean(1, keepdim=True).sqrt(), [True]),
        (lambda x: nn.functional.layer_norm(x * 3e3, [32]), []),
    ],
    ids=["beyond the end", "near the end", "far from it", "squares in float32", "squares in float16", "layernorm"],
)
def test_values_that_float16_cannot_hold_are_found(
    function: Callable[[Tensor], Tensor], images: Tensor, fatal: list[bool]
) -> None:
    found = found_in(function, images)
    assert {finding.rule for finding in found} <= {"fp16-overflow"}
    assert [finding.fatal for finding in found] == fatal


@pytest.mark.parametrize(("factor", "expected"), [(1, 0), (100, 1)])
def test_scores_of_attention_are_bounded(images: Tensor, factor: float, expected: int) -> None:
    def attend(x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x * factor, x * factor, x)

    found = found_in(attend, images)
    assert len(found) == expected
    assert not [finding for finding in found if finding.fatal], "a bound is no proof"
    assert all("scores may reach" in finding.what for finding in found)


def test_too_many_dimensions_are_found(images: Tensor) -> None:
    found = found_in(lambda x: x.view(-1, 3, 2, 2, 2, 2, 2, 2, 16).sum((2, 3, 4)).reshape(-1, 3, 4, 32), images)
    assert {(finding.rule, finding.fatal) for finding in found} == {("rank", True)}


@pytest.mark.parametrize(("bits", "rules"), [(None, []), (8, []), (4, ["weight-only"]), (1, ["weight-only"])])
def test_narrow_weights_are_said_to_be_stored_only(images: Tensor, bits: int | None, rules: list[str]) -> None:
    found = found_in(lambda x: x, images, bits)
    assert [(finding.rule, finding.fatal) for finding in found] == [(rule, False) for rule in rules]


def test_an_image_input_is_said_to_be_left_out(images: Tensor) -> None:
    (finding,) = found_in(lambda x: x, images, options=Options(image_input=True))
    assert (finding.rule, finding.fatal) == ("image-input", False)
