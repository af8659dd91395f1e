"""The one place that imports timm, after making sure that it can be imported.

timm imports torchvision, whose Python code registers rules for its own compiled operators `nms` and `qnms`. Where the
compiled part does not load (no torchvision build matches a CPU-only torch), that fails with "operator torchvision::nms
does not exist". Nothing here runs those operators, so declaring their schemas is enough; where the compiled part does
load, it declares them itself and nothing is done.
"""

import importlib.util
from pathlib import Path

import torch

_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_SCHEMAS = ("nms" + _ARGUMENTS, "qnms" + _ARGUMENTS)


def _compiled_part_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec else None
    for binary in (file for folder in folders or () for file in Path(folder).glob("_C.*")):
        try:
            torch.ops.load_library(str(binary))
        except OSError:
            continue
        return True
    return False


if not _compiled_part_loads():
    # Kept in a name: the schemas last as long as the library object does.
    _declared = torch.library.Library("torchvision", "DEF")
    for _schema in _SCHEMAS:
        _declared.define(_schema)

import timm  # noqa: E402  (only importable after the lines above)

__all__ = ["timm"]
