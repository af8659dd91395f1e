"""What is cut out of a model: places along the axes of its tensors, and the modules' own notes of their widths."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Kept = Mapping[str, Tensor]
"""Of every group, by name, which units stay; [units], bool."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One axis of a tensor, the places on it that belong to a group, and the unit that each belongs to."""

    tensor: str
    axis: int
    places: Tensor
    of: Tensor
    reads: bool = False
    """Whether a layer reads the units here, and mixes them."""
    writes: bool = False
    """Whether a layer gives them here, mixed from others."""


@dataclass(frozen=True, eq=False)
class Group:
    """Units that go one by one, each with all its places."""

    name: str
    kind: str
    """Groups of a kind are alike: neurons, widths, heads."""
    units: int
    cuts: tuple[Cut, ...]
    attention: str | None = None
    """The module whose heads these are."""

    @property
    def whole(self) -> Tensor:
        """All units kept."""
        return torch.ones(self.units, dtype=torch.bool)


def narrowed(module: nn.Module, groups: Sequence[Group], kept: Kept) -> nn.Module:
    """A copy of the module without what is not kept."""
    copy = deepcopy(module)
    for (name, axis), places in dropped(groups, kept).items():
        _cut(copy, name, axis, places)
    for one in copy.modules():
        _note_widths(one)
    for group in groups:
        if group.attention is not None:
            attention = copy.get_submodule(group.attention)
            left = int(kept[group.name].sum())
            if hasattr(attention, "attn_dim"):
                setattr(attention, "attn_dim", attention.attn_dim // attention.num_heads * left)  # type: ignore[operator] # noqa: B010
            setattr(attention, "num_heads", left)  # noqa: B010
    return copy


def masked(module: nn.Module, groups: Sequence[Group], kept: Kept) -> nn.Module:
    """A copy as wide as it was, in which what is not kept is zero wherever it stands."""
    copy = deepcopy(module)
    tensors = {**dict(copy.named_parameters()), **dict(copy.named_buffers())}
    with torch.no_grad():
        for (name, axis), places in dropped(groups, kept).items():
            if not name.endswith("running_var"):
                tensors[name].index_fill_(axis, places, 0)
    return copy


def dropped(groups: Sequence[Group], kept: Kept) -> dict[tuple[str, int], Tensor]:
    """The places that go, by tensor and axis."""
    found: dict[tuple[str, int], list[Tensor]] = {}
    for group in groups:
        mask = kept[group.name]
        if not bool(mask.all()):
            for cut in group.cuts:
                found.setdefault((cut.tensor, cut.axis), []).append(cut.places[~mask[cut.of]])
    return {spot: torch.cat(places).unique() for spot, places in found.items()}


def _cut(module: nn.Module, name: str, axis: int, places: Tensor) -> None:
    owner_name, _, attribute = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    tensor = getattr(owner, attribute)
    left = torch.ones(tensor.shape[axis], dtype=torch.bool)
    left[places] = False
    narrower = tensor.detach()[(slice(None),) * axis + (left,)].clone()
    if isinstance(tensor, nn.Parameter):
        narrower = nn.Parameter(narrower, requires_grad=tensor.requires_grad)
    setattr(owner, attribute, narrower)


def _note_widths(module: nn.Module) -> None:
    """Have a layer's own numbers say what its tensors are."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Conv2d):
        if module.groups == module.in_channels == module.out_channels and module.groups > 1:
            module.groups = module.in_channels = module.out_channels = len(module.weight)
        else:
            module.out_channels, module.in_channels = len(module.weight), module.weight.shape[1] * module.groups
    elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.running_mean is not None:
        module.num_features = len(module.running_mean)
    elif isinstance(module, nn.LayerNorm) and module.elementwise_affine:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm) and module.affine:
        module.num_channels = len(module.weight)
    elif isinstance(scale := getattr(module, "scale", None), nn.Parameter) and hasattr(module, "shape"):
        setattr(module, "shape", (len(scale), *module.shape[1:]))  # type: ignore[index] # noqa: B010 (timm's Scale)
