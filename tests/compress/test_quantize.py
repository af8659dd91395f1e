from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.graph import find_sites
from vitc.compress.quantize import Quantize
from vitc.compress.widths import Override
from vitc.errors import UserError
from vitc.export.preflight import refuse_simulated
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)
vitc = torch.ops.vitc
LINEAR, CONV = vitc.linear.default, vitc.conv2d.default


class ThreeReaders(nn.Module):
    """Query, key and value are separate linears that read one tensor; so does a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.q, self.k, self.v = nn.LayerNorm(12), nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(images.flatten(2))
        scores = (self.q(tokens) @ self.k(tokens).mT).softmax(-1)
        answer: Tensor = (tokens + scores @ self.v(tokens)).mean(1)
        return answer


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.GELU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
    ).eval()


def wrapped(module: nn.Module, size: tuple[int, int, int] = SIZE) -> Backbone:
    return Backbone("tiny", module.eval(), Preprocessing(size), 7, (), "abc")


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(torch.randn(8, *SIZE, generator=torch.Generator().manual_seed(0)).split(3))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    return wrapped(timm.create_model("vit_tiny_patch16_224", **small))


@pytest.fixture(scope="module")
def quantized(backbone: Backbone, batches: list[Tensor]) -> Backbone:
    return Quantize().apply(backbone, batches)


def calls(backbone: Backbone, *targets: object) -> list[Node]:
    assert isinstance(backbone.module, GraphModule)
    return [node for node in backbone.module.graph.nodes if node.target in targets]


def answers(backbone: Backbone, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = backbone.module(images)
    return found


def test_every_linear_and_convolution_is_quantized(backbone: Backbone, quantized: Backbone) -> None:
    linears = sum(isinstance(module, nn.Linear | nn.Conv2d) for module in backbone.module.modules())
    assert len(calls(quantized, LINEAR)) == linears, "the patch embedding becomes a linear too"
    assert isinstance(quantized.module, GraphModule)
    assert find_sites(quantized.module) == []
    assert quantized.precision == "int8"


def test_only_linears_and_convolutions_read_what_is_quantized(quantized: Backbone) -> None:
    nodes = calls(quantized, vitc.quantize.default)
    readers = {reader.target for node in nodes for reader in node.users}
    assert readers == {LINEAR}
    assert {site.args[0] for site in calls(quantized, LINEAR)} == set(nodes)


def test_answers_stay_close(backbone: Backbone, quantized: Backbone, batches: list[Tensor]) -> None:
    wanted, found = answers(backbone, batches[0]), answers(quantized, batches[0])
    assert not torch.equal(found, wanted)
    assert (found - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_the_backbone_that_was_given_is_unchanged(backbone: Backbone, batches: list[Tensor]) -> None:
    fingerprint, before = backbone.fingerprint(), answers(backbone, batches[0])
    Quantize().apply(backbone, batches)
    assert backbone.fingerprint() == fingerprint
    assert torch.equal(answers(backbone, batches[0]), before)


def test_neither_order_nor_batching_of_the_images_matters_to_ranges(backbone: Backbone, batches: list[Tensor]) -> None:
    plain = Quantize(equalize=(), rounding="nearest")
    made = plain.apply(backbone, batches)
    for other in (batches[::-1], torch.cat(batches).flip(0).split(3)):
        assert plain.apply(backbone, other).fingerprint() == made.fingerprint()


def test_the_same_images_give_the_same_program(backbone: Backbone, quantized: Backbone, batches: list[Tensor]) -> None:
    assert Quantize().apply(backbone, batches).fingerprint() == quantized.fingerprint()


def test_linears_that_read_one_tensor_share_one_quantize() -> None:
    made = Quantize().apply(wrapped(ThreeReaders(), (4, 3, 4)), [torch.randn(2, 4, 3, 4)])
    (shared,) = calls(made, vitc.quantize.default)
    assert [user.target for user in shared.users] == [LINEAR] * 3
    source = shared.args[0]
    assert isinstance(source, Node)
    assert torch.ops.aten.add.Tensor in {user.target for user in source.users}, "the residual stays float"


def test_convolutions_keep_their_geometry(batches: list[Tensor]) -> None:
    torch.manual_seed(0)
    backbone = wrapped(convolutional())
    made = Quantize(grouped=True).apply(backbone, batches)
    depthwise, strided = calls(made, CONV)
    assert depthwise.args[4:] == ([1, 1], [1, 1], [1, 1], 8, 8)
    assert strided.args[4:] == ([2, 2], [1, 1], [1, 1], 1, 8)
    wanted, found = answers(backbone, batches[0]), answers(made, batches[0])
    assert (found - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_bits_bound_the_codes(backbone: Backbone, batches: list[Tensor]) -> None:
    made = Quantize(weight_bits=4, activation_bits=6).apply(backbone, batches)
    first, *inner, last = calls(made, LINEAR)
    assert [site.args[-1] for site in (first, *inner, last)] == [8, *[4] * len(inner), 8]
    assert inner
    for site, most in [(first, 127), *((site, 7) for site in inner), (last, 127)]:
        assert isinstance(made.module, GraphModule)
        owner, _, leaf = str(site.args[1].target).rpartition(".")  # type: ignore[union-attr]
        assert 7 <= int(getattr(made.module.get_submodule(owner), leaf).abs().max()) <= most
    assert [node.args[3] for node in calls(made, vitc.quantize.default)] == [8, *[6] * len(inner), 8]


@pytest.mark.parametrize("grouped", [True, False])
def test_grouped_convolutions_stay_float_unless_asked_for(batches: list[Tensor], *, grouped: bool) -> None:
    made = Quantize(grouped=grouped).apply(wrapped(convolutional()), batches)
    assert len(calls(made, CONV)) == 1 + grouped
    assert len(calls(made, torch.ops.aten.conv2d.default)) == 1 - grouped


@pytest.mark.parametrize(
    ("technique", "name"),
    [
        (Quantize(), "int8"),
        (Quantize(weight_bits=4), "int4"),
        (Quantize(weight_bits=1), "binary"),
        (Quantize(weight_bits=6, activation_bits=6), "w6a6"),
    ],
)
def test_artifacts_are_called_by_their_bits(technique: Quantize, name: str) -> None:
    assert technique.precision == name


def test_attention_is_rounded_where_it_is_asked_for(backbone: Backbone, batches: list[Tensor]) -> None:
    made = Quantize(attention=True).apply(backbone, batches)
    products = calls(made, torch.ops.aten.matmul.default)
    assert len(products) == 4, "two a block, written out"
    schemes = [str(node.args[4]) for product in products for node in product.all_input_nodes if len(node.args) == 5]
    assert sorted(schemes) == [*["asymmetric"] * 2, *["symmetric"] * 6], "the softmax alone has a zero point"
    wanted, found = answers(backbone, batches[0]), answers(made, batches[0])
    assert (found - wanted).abs().max() < 0.1 * wanted.abs().max()


@pytest.mark.parametrize("kind", ["sqrt2", "adaptive"])
def test_a_logarithmic_softmax_is_simulated_and_not_exported(
    backbone: Backbone, batches: list[Tensor], kind: str
) -> None:
    made = Quantize(4, 4, attention=True, softmax=kind).apply(backbone, batches)
    logarithms = calls(made, vitc.quantize_log.default)
    assert [node.args[1] for node in logarithms] == [kind] * 2
    assert {user.target for node in logarithms for user in node.users} == {torch.ops.aten.matmul.default}
    with pytest.raises(UserError, match="no target can express"):
        refuse_simulated(made)


def test_named_layers_have_widths_of_their_own(backbone: Backbone, batches: list[Tensor]) -> None:
    technique = Quantize(4, 4, exclude=("blocks.0.*",), layers=(Override("*.fc2", 8, 8),))
    made = technique.apply(backbone, batches)
    assert [site.args[-1] for site in calls(made, LINEAR)] == [8, 4, 4, 4, 8, 8]
    assert len(calls(made, torch.ops.aten.linear.default)) == 4


def test_a_computed_weight_stays_float() -> None:
    class Scaled(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.linear(images.flatten(1), self.weight * 2, self.bias)

    made = Quantize().apply(wrapped(Scaled(12, 3), (3, 2, 2)), [torch.randn(2, 3, 2, 2)])
    assert calls(made, LINEAR, vitc.quantize.default) == []
    assert find_sites(trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), (3, 2, 2)))


def test_what_is_quantized_already_is_refused(quantized: Backbone, batches: list[Tensor]) -> None:
    with pytest.raises(UserError, match="int8 already"):
        Quantize().apply(quantized, batches)


def test_no_images_are_refused(backbone: Backbone) -> None:
    with pytest.raises(UserError, match="no images"):
        Quantize().apply(backbone, [])


def test_images_that_are_not_finite_are_refused(backbone: Backbone, batches: list[Tensor]) -> None:
    with pytest.raises(UserError, match="not finite"):
        Quantize().apply(backbone, [batches[0] * torch.nan])


@pytest.mark.parametrize(
    "wrong", [{"weight_bits": 0}, {"activation_bits": 1}, {"activation_bits": 9}, {"scheme": "none"}]
)
def test_what_no_code_can_hold_is_refused(wrong: dict[str, int | str]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        replace(Quantize(), **wrong)  # type: ignore[arg-type]
