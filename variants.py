"""What a run exports: the untouched backbone, and what became of it as each target takes it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch.fx import GraphModule

from .compress.attention import is_rounded, leave_float
from .compress.binary_softmax import BINARY
from .compress.ops import retarget, scheme_of
from .models.backbone import Backbone


@dataclass(frozen=True)
class Variant:
    """A backbone to export, the folder that its targets go to, and in what it differs from what was calibrated."""

    backbone: Backbone
    folder: Path
    differs: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Equal for variants that give equal artifacts."""
        return self.backbone.fingerprint()

    @property
    def simulation(self) -> str:
        """What its torch program is called among the scored things."""
        return " ".join((self.backbone.label, *self.differs, "torch"))

    def under(self, scheme: str, *, float_attention: bool = False) -> "Variant":
        """This variant as `scheme` rounds it, its attention products left float if asked for; itself if it is that."""
        module = self.backbone.module
        if not isinstance(module, GraphModule) or scheme_of(module) is None:
            return self
        bare = float_attention and is_rounded(module)
        left = "float-scores" if module.graph.find_nodes(op="call_function", target=BINARY) else "float-attention"
        differs = (*([scheme] if scheme_of(module) != scheme else []), *([left] if bare else []))
        if not differs:
            return self
        other = retarget(module, scheme)
        if bare:
            leave_float(other)
        return replace(self, backbone=replace(self.backbone, module=other), differs=differs)
