"""A backbone as a graph of ATen operators, by `torch.export`, with a free batch dimension."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from ..errors import UserError

EXAMPLE_BATCH = 2
"""Batch of the example that is traced: one would be taken for a constant."""


def export_program(module: nn.Module, input_size: Sequence[int], batch: int | None = None) -> ExportedProgram:
    """The program of `module`; `batch` fixes the batch dimension, none leaves it free."""
    example = torch.zeros(batch or EXAMPLE_BATCH, *input_size)
    shapes = None if batch else ({0: Dim("batch", min=1)},)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as failure:
        reason = str(failure).strip().splitlines()[0]
        raise UserError(f"torch.export cannot trace this model: {reason}") from failure


def trace(module: nn.Module, input_size: Sequence[int]) -> GraphModule:
    """A graph module of the program, free of the tracing machine's paths, ready to be rewritten."""
    graph_module = export_program(module, input_size).module(check_guards=False)
    assert isinstance(graph_module, GraphModule)
    return graph_module
