"""Whether groups can really be cut: a narrower model has to give what the whole one gives with zeros in their place."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from .cuts import Group, Kept, masked, narrowed

CLOSE = 1e-6
"""How far two answers in doubles may be apart, of the largest number in them."""


class Even(nn.Module):
    """Stands for a norm: divides by what zeros do not change, so that a mask gives what a cut gives."""

    def forward(self, x: Tensor) -> Tensor:
        """Each image at the size of one."""
        size = x.flatten(1).square().sum(1).add(1e-12).rsqrt()
        return x * size.view(-1, *[1] * (x.dim() - 1)) * 100


def fitting(module: nn.Module, groups: Sequence[Group], input_size: Sequence[int]) -> list[Group]:
    """The groups that can be cut, all together. Those of a kind are tried at once, and one by one if that fails."""
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))
    pair = module, deepcopy(module).double()
    sound: list[Group] = []
    for kind in dict.fromkeys(group.kind for group in groups):
        those = [group for group in groups if group.kind == kind]
        if _stand(pair, [*sound, *those], image):
            sound += those
            continue
        for one in those:
            ways = (one, tiled(one, module))
            sound += [way for way in ways if way and _stand(pair, [*sound, way], image)][:1]
    return sound


def tiled(group: Group, module: nn.Module) -> Group | None:
    """The group with its channels wherever they come round again, as they do where neighbours are laid side by side."""
    cuts = []
    for cut in group.cuts:
        size = _tensor(module, cut.tensor).shape[cut.axis]
        times = size // group.units if len(cut.places) == group.units and not size % group.units else 1
        starts = torch.arange(times).repeat_interleave(len(cut.places)) * group.units
        cuts.append(replace(cut, places=cut.places.repeat(times) + starts, of=cut.of.repeat(times)))
    same = all(len(new.places) == len(old.places) for new, old in zip(cuts, group.cuts, strict=True))
    return None if same else replace(group, cuts=tuple(cuts))


def _tensor(module: nn.Module, name: str) -> Tensor:
    owner, _, attribute = name.rpartition(".")
    found = getattr(module.get_submodule(owner), attribute)
    assert isinstance(found, Tensor)
    return found


def _stand(pair: tuple[nn.Module, nn.Module], groups: Sequence[Group], image: Tensor) -> bool:
    """Whether the groups can be cut, here and there and by half; the second module of the pair is in doubles."""
    return all(_same(pair, groups, {group.name: cut(group) for group in groups}, image) for cut in (_some, _half))


def _same(pair: tuple[nn.Module, nn.Module], groups: Sequence[Group], kept: Kept, image: Tensor) -> bool:
    module, exact = pair
    try:
        with torch.no_grad():
            narrow = narrowed(module, groups, kept)(image)
            found = _level(narrowed(exact, groups, kept))(image.double())
            wanted = _level(masked(exact, groups, kept))(image.double())
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        return False
    apart = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    return bool(narrow.isfinite().all()) and apart <= CLOSE * float(wanted.abs().max())


def _some(group: Group) -> Tensor:
    """A third of the units goes, in no order that a layout could repeat."""
    kept = group.whole
    kept[torch.randperm(group.units, generator=torch.Generator().manual_seed(0))[: -(-group.units // 3)]] = False
    return kept


def _half(group: Group) -> Tensor:
    kept = group.whole
    kept[: group.units // 2] = False
    return kept


def _level(module: nn.Module) -> nn.Module:
    """The module, its norms over channels replaced by what a mask does not disturb; in place."""
    for name, one in list(module.named_modules()):
        if isinstance(one, nn.LayerNorm | nn.GroupNorm):
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, Even())
    return module
