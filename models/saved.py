"""A backbone as one file: its `torch.export` program in a .pt2 archive, with what travels with it in `vitc.json`.

The same backbone gives the same bytes in any process, and the file holds no paths of the machine that wrote it.
"""

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import load_pt2
from torch.fx import GraphModule

from ..atomic import replacing
from ..errors import UserError
from . import overriding, saved_check
from .backbone import Backbone, Preprocessing
from .program import export_program


def save(backbone: Backbone, path: Path) -> None:
    """Write the backbone's program, with a free batch dimension."""
    program = export_program(_without_leftovers(backbone.module), backbone.preprocessing.input_size)
    _strip(program)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={saved_check.FACTS: json.dumps(_facts(backbone))})
    content = buffer.getvalue()
    try:
        saved_check.check(content)
    except saved_check.Foreign as failure:
        raise UserError(f"{backbone.name} cannot be saved as a program that is safe to load: {failure}") from failure
    with replacing(path) as partial:
        partial.write_bytes(content)


def load(spec: str | Path, weights: Path | None = None) -> Backbone:
    """Read a program that `save` wrote; anything else is refused before torch reads it."""
    path = Path(spec)
    if weights is not None:
        raise UserError(f"{path} holds its own weights: leave --weights out")
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise UserError(f"cannot read {path}: {failure.strerror}; give a .pt2 saved by vitc") from failure
    try:
        saved_check.check(content)
    except saved_check.Foreign as failure:
        raise UserError(f"{path} is not a program saved by vitc ({failure}): give one, or a timm name") from failure
    try:
        archive = load_pt2(io.BytesIO(content))
        program = archive.exported_programs["model"]
        return _backbone(program, json.loads(archive.extra_files[saved_check.FACTS]))
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as failure:
        reason = str(failure).strip().rpartition("\n")[2]
        raise UserError(f"torch {torch.__version__} cannot load {path}: {reason or 'it is damaged'}") from failure


def _without_leftovers(module: nn.Module) -> nn.Module:
    """A program with no tensors but those that its graph reads: techniques leave the ones that they replaced."""
    return GraphModule(module, module.graph) if isinstance(module, GraphModule) else module


def _strip(program: ExportedProgram) -> None:
    """Remove what loading does not need: the example, and each node's stack of files and modules."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}


def _facts(backbone: Backbone) -> dict[str, Any]:
    return {
        "name": backbone.name,
        "preprocessing": backbone.preprocessing.to_json(),
        "outputs": backbone.outputs,
        "classes": list(backbone.classes),
        "weights_sha256": backbone.weights_sha256,
        "precision": backbone.precision,
        "form": list(backbone.form),
    }


def _backbone(program: ExportedProgram, facts: dict[str, Any]) -> Backbone:
    return Backbone(
        str(facts["name"]),
        program.module(check_guards=False),
        overriding.apply(Preprocessing(), facts["preprocessing"]),
        int(facts["outputs"]),
        tuple(map(str, facts["classes"])),
        str(facts["weights_sha256"]),
        str(facts["precision"]),
        form=tuple(map(str, facts.get("form", ()))),
    )
