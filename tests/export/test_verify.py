import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule

from vitc.compress.quantize import Quantize
from vitc.errors import VerificationFailed
from vitc.export.verify import FLOAT_TOLERANCE, LEAST_AGREEMENT, LEAST_COSINE, compare, complaint, is_smooth, shaken
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace

Logits = NDArray[np.float32]


@pytest.fixture
def logits() -> Logits:
    return np.random.default_rng(0).standard_normal((40, 7), dtype=np.float32)


def with_other_class(logits: Logits, images: int) -> Logits:
    """The first images answered by another class."""
    changed = logits.copy()
    changed[:images] = -changed[:images]
    return changed


def test_equal_logits_are_at_no_distance(logits: Logits) -> None:
    parity = compare(logits, logits)
    assert (parity.max_abs, parity.top1_agree, parity.images) == (0.0, 1.0, 40)
    assert parity.cosine == pytest.approx(1.0)
    assert parity.scale == np.abs(logits).max()
    assert complaint(parity, smooth=True) is None
    assert complaint(parity, smooth=False) is None


def test_each_figure_measures_its_own(logits: Logits) -> None:
    doubled = compare(logits, 2 * logits)
    assert doubled.max_abs == pytest.approx(doubled.scale)
    assert doubled.cosine == pytest.approx(1.0)
    assert doubled.top1_agree == 1.0
    turned = compare(logits, -logits)
    assert turned.cosine == pytest.approx(-1.0)
    assert turned.top1_agree == 0.0
    assert compare(logits, with_other_class(logits, 10)).top1_agree == 0.75


def test_a_float_artifact_must_give_the_logits(logits: Logits) -> None:
    reach = np.abs(logits).max()
    near, far = logits.copy(), logits.copy()
    near[3, 2] += 0.9 * FLOAT_TOLERANCE * reach
    far[3, 2] += 1.1 * FLOAT_TOLERANCE * reach
    assert complaint(compare(logits, near), smooth=True) is None
    assert "differs from torch by" in str(complaint(compare(logits, far), smooth=True))
    assert complaint(compare(logits, far), smooth=False) is None


def test_a_quantized_artifact_must_give_the_classes(logits: Logits) -> None:
    allowed = round((1 - LEAST_AGREEMENT) * len(logits))
    assert complaint(compare(logits, with_other_class(logits, allowed)), smooth=False) is None
    told = complaint(compare(logits, with_other_class(logits, allowed + 1)), smooth=False)
    assert told == "gives the simulation's class on 92.5% of 40 images only"


def test_floats_of_16_bits_are_judged_by_direction(logits: Logits) -> None:
    noise = np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32) * np.abs(logits).max()
    near, far = (compare(logits, logits + share * noise) for share in (0.005, 0.2))
    assert near.cosine > LEAST_COSINE > far.cosine
    assert complaint(near, smooth=True)
    assert complaint(near, smooth=True, exact_floats=False) is None
    assert "cosine" in str(complaint(far, smooth=True, exact_floats=False))


def test_a_simulation_that_disagrees_with_itself_asks_less_of_the_artifact(logits: Logits) -> None:
    few = compare(logits, with_other_class(logits, 4))
    assert complaint(few, smooth=False)
    assert complaint(few, smooth=False, own=0.97) is None
    told = complaint(compare(logits, with_other_class(logits, 5)), smooth=False, own=0.97)
    assert told
    assert told.endswith("under noise the simulation agrees with itself on 97.0%")


def test_the_noise_reaches_the_logits_and_is_always_the_same() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.GELU(), nn.Linear(64, 5)).eval()
    backbone = Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")
    program = Quantize().apply(backbone, [torch.randn(8, 3, 4, 4)]).module
    assert isinstance(program, GraphModule)
    images = np.random.default_rng(0).standard_normal((16, 3, 4, 4), dtype=np.float32)
    plain = program(torch.from_numpy(images)).detach().numpy()
    moved = []
    for exact in (True, False):
        noisy = shaken(program, images, exact_floats=exact)
        np.testing.assert_array_equal(noisy, shaken(program, images, exact_floats=exact))
        moved.append(np.abs(noisy - plain).max() / np.abs(plain).max())
    assert 0 < moved[0] < moved[1] < 0.1


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_never_pass(logits: Logits, bad: float, *, smooth: bool) -> None:
    broken = np.full_like(logits, bad)
    first = logits.copy()
    first[:, 0] = 9.0
    for reference in (logits, first, broken):
        with np.errstate(invalid="ignore"):
            parity = compare(reference, broken)
        assert parity.top1_agree == 0.0
        assert complaint(parity, smooth=smooth)


def test_what_rounds_or_chooses_is_not_smooth() -> None:
    class Best(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).topk(3).values

    def backbone(module: nn.Module, precision: str = "fp32") -> Backbone:
        return Backbone("tiny", trace(module.eval(), (3, 4, 4)), Preprocessing((3, 4, 4)), 3, (), "abc", precision)

    plain = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    assert is_smooth(backbone(plain))
    assert not is_smooth(backbone(plain, "int8"))
    assert not is_smooth(backbone(Best()))


def test_zeros_have_no_direction_and_raise_no_warning() -> None:
    zeros = np.zeros((3, 2), dtype=np.float32)
    parity = compare(zeros, zeros)
    assert (parity.max_abs, parity.cosine, parity.top1_agree) == (0.0, 0.0, 1.0)
    assert complaint(parity, smooth=True) is None


def test_logits_of_another_shape_are_refused(logits: Logits) -> None:
    with pytest.raises(VerificationFailed, match=r"\(40, 1\) where torch gives \(40, 7\)"):
        compare(logits, logits[:, :1])
