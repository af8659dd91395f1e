"""The branch that does least goes first, whole, and what it does in the mean may stay."""

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.attention import ATTENTION
from vitc.compress.structure.branches import find_branches
from vitc.compress.structure.dropping import check_drop, drop, remove
from vitc.errors import UserError
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)


def images(count: int, size: tuple[int, ...] = SIZE) -> Tensor:
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(0))


def vit(zero: str = "", constant: str = "", factor: float = 0.0) -> nn.Module:
    """Of two blocks; the last layer of some branches gives nothing, or always the same."""
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(5)
            for end in (".attn.proj", ".mlp.fc2"):
                if zero and name.startswith(zero) and end in name:
                    parameter.mul_(factor)
                if constant and name.startswith(constant + end):
                    parameter.copy_(torch.zeros_like(parameter) if parameter.dim() == 2 else torch.arange(48) / 20.0)
    return module.eval()


@pytest.mark.parametrize("branch", ["blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp"])
def test_a_branch_that_gives_nothing_goes_first_and_is_gone(branch: str) -> None:
    module = vit(zero=branch)
    program, x = trace(module, SIZE), images(12)
    notes = drop(program, 1, 0, [x])
    with torch.no_grad():
        torch.testing.assert_close(program(x), module(x), rtol=1e-4, atol=1e-5)
    assert len(notes) == 1
    assert branch in notes[0]
    assert branch not in [one.name for one in find_branches(program)]
    assert not any(branch.replace(".", "_") in node.name for node in program.graph.nodes)
    attentions = program.graph.find_nodes(op="call_function", target=ATTENTION)
    assert len(attentions) == (1 if "attn" in branch else 2)


@pytest.mark.parametrize("block", ["blocks.0", "blocks.1"])
def test_a_block_that_gives_nothing_goes_first(block: str) -> None:
    module = vit(zero=block)
    program, x = trace(module, SIZE), images(12)
    drop(program, 0, 1, x.split(5))
    with torch.no_grad():
        torch.testing.assert_close(program(x), module(x), rtol=1e-4, atol=1e-5)
    assert [one.name.rpartition(".")[0] for one in find_branches(program)] == 2 * [
        {"blocks.0": "blocks.1", "blocks.1": "blocks.0"}[block]
    ]


def test_what_a_branch_always_adds_stays() -> None:
    module = vit(constant="blocks.0")
    program, x = trace(module, SIZE), images(12)
    (note,) = drop(program, 2, 0, [x])
    assert note.count("but for the mean") == 2
    with torch.no_grad():
        torch.testing.assert_close(program(x), module(x), rtol=1e-3, atol=1e-4)
    assert [one.name for one in find_branches(program)] == ["blocks.1.attn", "blocks.1.mlp"]


def test_each_time_it_is_measured_anew_against_what_the_whole_answers() -> None:
    """Factors of 1.25, 0.7 and 1.2 make 1.05: without the last, the second costs less than the first, but not alone."""

    class Undoing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = (nn.Linear(4, 4) for _ in range(3))
            with torch.no_grad():
                for layer, factor in ((self.one, 0.25), (self.two, -0.3), (self.three, 0.2)):
                    layer.weight.copy_(factor * torch.eye(4))
                    layer.bias.zero_()

        def forward(self, images: Tensor) -> Tensor:
            x = images * 3
            x = x + self.one(x)
            x = x + self.two(x)
            y: Tensor = x + self.three(x)
            return y.mean((1, 2))

    module = Undoing().eval()
    program, x = trace(module, (3, 4, 4)), images(20, (3, 4, 4))
    drop(program, 1, 0, [x])
    assert [one.name for one in find_branches(program)] == ["one", "two"]
    program = trace(module, (3, 4, 4))
    drop(program, 2, 0, [x])
    assert [one.name for one in find_branches(program)] == ["one"]


def test_the_mean_has_the_shape_of_channels() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
            nn.init.zeros_(self.second.weight)

        def forward(self, images: Tensor) -> Tensor:
            y: Tensor = self.second(torch.relu(self.first(images)))
            return (images + y).mean((2, 3))

    torch.manual_seed(0)
    module = Residual().eval()
    program, x = trace(module, (3, 8, 8)), images(3, (3, 8, 8))
    (branch,) = find_branches(program)
    assert module.second.bias is not None
    remove(program, branch, module.second.bias.detach().view(3, 1, 1))
    with torch.no_grad():
        torch.testing.assert_close(program(x), module(x))


def test_something_has_to_stay() -> None:
    program = trace(vit(), SIZE)
    check_drop(program, "tiny", 3, 0)
    check_drop(program, "tiny", 1, 1)
    with pytest.raises(UserError, match="sublayers=4 is too many for tiny: of 4"):
        check_drop(program, "tiny", 4, 0)
    with pytest.raises(UserError, match="sublayers=2 is too many for tiny: of 2"):
        check_drop(program, "tiny", 2, 1)
    with pytest.raises(UserError, match="blocks=2 is too many for tiny: of 2"):
        check_drop(program, "tiny", 0, 2)
    with pytest.raises(UserError, match="blocks=1 is too many for plain: of 0"):
        check_drop(trace(nn.Sequential(nn.Flatten(), nn.Linear(3072, 7)), SIZE), "plain", 0, 1)
