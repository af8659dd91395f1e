from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from vitc.compress.fold_norm import fold
from vitc.models.program import export_program, trace
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)
aten = torch.ops.aten
VITS = {
    "mobilevit": ("mobilevit_xxs", {}, 0),
    "efficientformerv2": ("efficientformerv2_s0", {"img_size": 64}, 0),
    "levit": ("levit_128s", {"img_size": 64}, 0),
    "convnext": ("convnext_atto", {}, 0),
    # A norm of a sum of three branches belongs to none of them.
    "repvit": ("repvit_m0_9", {}, 23),
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def lived(module: nn.Module) -> nn.Module:
    """With statistics, and layer scales, as training leaves them."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in (
                (part.running_mean, -1, 1),
                (part.running_var, 0.5, 2),
                (part.weight, 0.5, 1.5),
                (part.bias, -1, 1),
            ):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)
    for name, parameter in module.named_parameters():
        if name.endswith("gamma"):
            nn.init.uniform_(parameter, 0.1, 1)
    return module.eval()


def count(program: GraphModule, *targets: Any) -> int:
    return sum(node.target in targets for node in program.graph.nodes)


def folded(module: nn.Module, size: tuple[int, int, int] = SIZE) -> tuple[int, GraphModule]:
    """How many were folded, and the program: it has been seen to answer as the module."""
    program, images = trace(lived(module), size), torch.randn(3, *size)
    result = fold(program)
    program.graph.lint()
    with torch.no_grad():
        wanted, found = module(images), program(images)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * wanted.abs().max().item())
    return result, program


@pytest.mark.parametrize(("name", "options", "left"), VITS.values(), ids=VITS.keys())
def test_hybrids_answer_as_before_without_their_norms(name: str, options: dict[str, Any], left: int) -> None:
    side = options.get("img_size", 64)
    module = timm.create_model(name, num_classes=5, **options)
    had = count(trace(lived(module), (3, side, side)), aten.batch_norm.default)
    number, program = folded(module, (3, side, side))
    assert count(program, aten.batch_norm.default) == left
    assert number >= had - left


class Between(nn.Module):
    """Two layers, and what is between them."""

    def __init__(self, first: nn.Module, between: nn.Module, second: nn.Module, **options: bool) -> None:
        super().__init__()
        self.first, self.between, self.second, self.options = first, between, second, options

    def forward(self, images: Tensor) -> Tensor:
        before = self.first(images)
        after = self.between(before)
        answer: Tensor = self.second(after)
        if self.options.get("shared"):
            answer = answer + self.second(after.tanh())
        if self.options.get("seen"):
            answer = answer + before.mean()
        return answer.flatten(1)


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False), nn.BatchNorm2d(8, eps=0.3)],
    ids=["plain", "no affine", "epsilon"],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_goes_into_the_convolution_before_it(norm: nn.Module, bias: bool) -> None:  # noqa: FBT001
    number, program = folded(Between(nn.Conv2d(3, 8, 3, bias=bias), norm, nn.ReLU()))
    assert (number, count(program, aten.batch_norm.default)) == (1, 0)


def test_a_norm_goes_into_depthwise_and_grouped_convolutions() -> None:
    layers = [nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=8), nn.BatchNorm2d(16), nn.Conv2d(16, 4, 3, groups=2)]
    assert folded(nn.Sequential(*layers, nn.BatchNorm2d(4), nn.Flatten()))[0] == 2


def test_a_norm_before_layers_that_do_not_pad_goes_into_them() -> None:
    for second in (nn.Conv2d(3, 8, 1), nn.Conv2d(3, 6, 3, groups=3), nn.Conv2d(3, 8, 3, bias=False)):
        number, program = folded(Between(nn.Tanh(), nn.BatchNorm2d(3), second))
        assert (number, count(program, aten.batch_norm.default)) == (1, 0)


def test_a_norm_before_a_convolution_that_pads_stays() -> None:
    number, program = folded(Between(nn.Tanh(), nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1)))
    assert (number, count(program, aten.batch_norm.default)) == (0, 1)


class Scale(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x


def test_a_factor_alone_goes_into_a_convolution_that_pads() -> None:
    number, program = folded(Between(nn.Tanh(), Scale((3, 1, 1)), nn.Conv2d(3, 8, 3, padding=1)))
    assert (number, count(program, aten.mul.Tensor)) == (1, 0)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1,), (32,), (1, 32, 1)], ids=str)
def test_factors_that_are_not_one_a_channel_stay(shape: tuple[int, ...]) -> None:
    assert folded(Between(nn.Conv2d(3, 3, 1), Scale(shape), nn.ReLU()))[0] == 0


def test_a_factor_that_makes_channels_stays() -> None:
    assert folded(Between(nn.Conv2d(3, 1, 1), Scale((8, 1, 1)), nn.ReLU()))[0] == 0


@pytest.mark.parametrize("layer", [nn.Linear(32, 6), nn.Linear(32, 6, bias=False)], ids=["bias", "no bias"])
def test_a_layer_scale_goes_into_the_linear_before_it(layer: nn.Module) -> None:
    between = nn.Sequential(nn.Dropout(0.1), Scale((6,)))
    number, program = folded(Between(layer, between, nn.ReLU()))
    assert (number, count(program, aten.mul.Tensor)) == (1, 0)


def test_a_layer_that_runs_twice_is_left_alone() -> None:
    shared = nn.Conv2d(3, 3, 1)
    assert folded(nn.Sequential(shared, nn.BatchNorm2d(3), nn.ReLU(), shared, nn.ReLU(), nn.Flatten()))[0] == 0
    assert folded(Between(nn.Tanh(), nn.BatchNorm2d(3), nn.Conv2d(3, 8, 1), shared=True))[0] == 0


def test_what_others_see_is_not_changed() -> None:
    assert folded(Between(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), seen=True))[0] == 0


def test_a_norm_of_the_images_own_statistics_stays() -> None:
    norm = nn.BatchNorm2d(8, track_running_stats=False)
    assert folded(Between(nn.Conv2d(3, 8, 1), norm, nn.ReLU()))[0] == 0


def test_what_is_written_into_in_place_is_read_in_time() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.layer = nn.BatchNorm2d(3), nn.Conv2d(3, 8, 1)

        def forward(self, images: Tensor) -> Tensor:
            x = images.tanh()
            y = self.norm(x)
            x.add_(1)
            answer: Tensor = self.layer(y) + x.mean()
            return answer.flatten(1)

    assert folded(Late())[0] == 0


def test_a_decomposed_norm_is_one_too() -> None:
    module = lived(Between(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    program = export_program(module, SIZE).run_decompositions({}).module(check_guards=False)
    assert isinstance(program, GraphModule)
    norms = (aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default)
    assert count(program, norms[1]) == 1
    images = torch.randn(2, *SIZE)
    assert fold(program) == 1
    assert count(program, *norms) == 0
    torch.testing.assert_close(program(images), module(images), rtol=1e-5, atol=1e-5)


def test_the_traced_module_keeps_its_weights() -> None:
    module = lived(Between(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    fold(trace(module, SIZE))
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_what_was_folded_can_be_traced_again() -> None:
    _, program = folded(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Flatten()))
    images = torch.randn(2, *SIZE)
    assert torch.equal(trace(program, SIZE)(images), program(images))
