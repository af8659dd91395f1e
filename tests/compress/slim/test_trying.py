"""Groups are believed only if the narrower model gives what the masked one gives."""

import torch
from torch import Tensor, nn

from vitc.compress.slim.cuts import Cut, Group
from vitc.compress.slim.groups import find_groups
from vitc.compress.slim.trying import fitting, tiled
from vitc.models.timm_ready import timm

VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}


def test_all_groups_of_a_plain_transformer_fit() -> None:
    module = timm.create_model("vit_tiny_patch16_224", **VIT).eval()
    groups = find_groups(module, (3, 16, 16))
    assert {group.name for group in fitting(module, groups, (3, 16, 16))} == {group.name for group in groups}


class Shuffled(nn.Module):
    """Channels are told by their place: those behind a missing one would be taken for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.first(x.flatten(1)) * self.other(x.flatten(1)).flip(1))
        return found


def test_what_runs_but_gives_something_else_is_refused() -> None:
    module, each = Shuffled().eval(), torch.arange(6)
    names = ("first.weight", "first.bias", "other.weight", "other.bias")
    cuts = (*(Cut(name, 0, each, each) for name in names), Cut("last.weight", 1, each, each, reads=True))
    wrong = Group("wrong", "widths", 6, cuts)
    mirrored = (cuts[0], cuts[1], *(Cut(cut.tensor, 0, each.flip(0), each) for cut in cuts[2:4]), cuts[4])
    right = Group("right", "neurons", 6, mirrored)
    assert fitting(module, [wrong, right], (1, 2, 2)) == [right]


def test_what_does_not_run_is_refused() -> None:
    module, each = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval(), torch.arange(6)
    half = Group("half", "neurons", 6, (Cut("1.weight", 0, each, each), Cut("1.bias", 0, each, each)))
    right = Group("right", "neurons", 6, (*half.cuts, Cut("3.weight", 1, each, each, reads=True)))
    assert fitting(module, [half], (1, 2, 2)) == []
    assert fitting(module, [right], (1, 2, 2)) == [right]


class Merging(nn.Module):
    """Two neighbours are laid side by side, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 3), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.first(x.flatten(1, 2)).flatten(1))
        return found


def test_channels_that_come_round_again_are_found() -> None:
    module, each = Merging().eval(), torch.arange(3)
    cuts = (
        Cut("first.weight", 0, each, each),
        Cut("first.bias", 0, each, each),
        Cut("last.weight", 1, each, each, reads=True),
    )
    (found,) = fitting(module, [Group("g", "widths", 3, cuts)], (1, 2, 2))
    assert found.cuts[2].places.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.cuts[2].of.tolist() == [0, 1, 2, 0, 1, 2]
    assert tiled(found, module) is None
