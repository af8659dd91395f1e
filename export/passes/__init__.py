"""The graph passes, in the order in which they run: one file a pass, with its rule in the docstring.

All of them are exact: the same sums of the same numbers, but for the order in which floats are added.
"""

import onnx_ir as ir
from onnx_ir.passes import common

from .binary_shares import BinaryShares
from .constant_shapes import ConstantShapes
from .convolution_product import ConvolutionProduct
from .integer_linear import IntegerLinear
from .known_shapes import KnownShapes
from .merge_views import MergeViews
from .split_projection import SplitProjection
from .tokens_first import TokensFirst
from .wanted_tokens import WantedTokens

STANDARD: tuple[ir.passes.InPlacePass, ...] = (
    ConstantShapes(),
    ConvolutionProduct(),
    KnownShapes(),
    SplitProjection(),
    MergeViews(),
    KnownShapes(),
    WantedTokens(),
    TokensFirst(),
    BinaryShares(),
)
"""Standard operators in, standard operators out."""

ONNXRUNTIME: tuple[ir.passes.InPlacePass, ...] = (IntegerLinear(),)
"""What only onnxruntime understands."""


def run(model: ir.Model, *passes: ir.passes.InPlacePass) -> None:
    """Rewrite the model by the passes, then drop what nothing reads any more."""
    for step in (*passes, common.RemoveUnusedNodesPass(), common.NameFixPass()):
        step(model)
    for node in model.graph:
        for value in node.outputs:
            value.shape = value.shape if value.type else None  # a file holds both or neither
