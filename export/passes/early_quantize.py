"""Codes are moved about instead of floats.

Rule: `QuantizeLinear(view(x))` is `view(QuantizeLinear(x))` for a Reshape or a Transpose and one scale for the whole
tensor: a quarter of the bytes to copy. Exact: a view changes no element.
"""

import onnx_ir as ir

from . import editing


class EarlyQuantize(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Move every QuantizeLinear up as far as it goes."""
        found = [node for node in list(model.graph) if node.op_type == "QuantizeLinear"]
        done = [_raise(node) for node in found]
        return ir.passes.PassResult(model, modified=any(done))


def _raise(quantize: ir.Node) -> bool:
    moved = False
    while view := _view(quantize):
        graph, codes, viewed = editing.graph_of(quantize), quantize.outputs[0], view.outputs[0]
        source = view.inputs[0]
        assert source is not None
        ir.convenience.replace_all_uses_with(codes, viewed)
        quantize.replace_input_with(0, source)
        view.replace_input_with(0, codes)
        viewed.type, codes.shape = codes.type, source.shape
        graph.remove(quantize)
        graph.insert_before(view, quantize)
        moved = True
    return moved


def _view(quantize: ir.Node) -> ir.Node | None:
    """The view in front, which nothing else reads."""
    viewed, scale = quantize.inputs[0], editing.constant(quantize.inputs[1])
    view = editing.made_by(viewed, "Reshape") or editing.made_by(viewed, "Transpose")
    if viewed is None or scale is None or scale.ndim or quantize.outputs[0].is_graph_output():
        return None
    return view if editing.only_reader(viewed) is quantize else None
