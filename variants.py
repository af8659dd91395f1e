"""What a run exports: the untouched backbone, and what became of it as each target's scheme rounds it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch.fx import GraphModule

from .compress.ops import retarget, scheme_of
from .models.backbone import Backbone


@dataclass(frozen=True)
class Variant:
    """A backbone to export, the folder that its targets go to, and the scheme that rounds it (None: as calibrated)."""

    backbone: Backbone
    folder: Path
    scheme: str | None = None

    @cached_property
    def key(self) -> str:
        """Equal for variants that give equal artifacts."""
        return self.backbone.fingerprint()

    @property
    def simulation(self) -> str:
        """What its torch program is called among the scored things."""
        return " ".join(part for part in (self.backbone.precision, self.scheme, "torch") if part)

    def under(self, scheme: str) -> "Variant":
        """This variant as `scheme` rounds it; itself where it is float, or rounded so already."""
        module = self.backbone.module
        if not isinstance(module, GraphModule) or scheme_of(module) in {None, scheme}:
            return self
        return replace(self, backbone=replace(self.backbone, module=retarget(module, scheme)), scheme=scheme)
