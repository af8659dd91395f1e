"""Shapes that are worked out at run time become constants.

Rule: a Reshape of a known result, with one free dimension at most, gets `[..., -1, ...]` as its shape.
The tracer writes the batch into every shape: Shape -> Squeeze -> Reshape -> Concat. DeiT-Tiny had 7 such chains, and no
later pass could read where a dimension went.
"""

import onnx_ir as ir

from . import editing


class ConstantShapes(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite every Reshape that can be."""
        found = [node for node in model.graph if node.op_type == "Reshape" and self._shape(node) is not None]
        for node in found:
            sizes = self._shape(node)
            assert sizes is not None
            node.replace_input_with(1, editing.store_ints(model.graph, *sizes))
            node.attributes.pop("allowzero", None)
        return ir.passes.PassResult(model, modified=bool(found))

    def _shape(self, node: ir.Node) -> list[int] | None:
        shape = node.outputs[0].shape
        if shape is None:
            return None
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        return sizes if sizes.count(-1) <= 1 and 0 not in sizes else None
