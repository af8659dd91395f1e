"""Views of views become one view, and views that change nothing go.

Rules: Reshape(Reshape(x)) is the outer one; Transpose(Transpose(x)) is one with the product of the permutations; a
Reshape to the same shape, a Transpose that moves nothing and a Slice of everything are x itself.
Behind a patch embedding they cancel altogether: [B, N, C] goes to an image and back. Exact.
"""

import numpy as np
import onnx_ir as ir

from . import editing

VIEWS = ("Reshape", "Slice", "Transpose")


class MergeViews(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite until nothing can be."""
        modified = False
        while any([_merge(node) for node in list(model.graph) if node.op_type in VIEWS]):  # noqa: C419  (all, not until the first)
            modified = True
        return ir.passes.PassResult(model, modified=modified)


def _merge(node: ir.Node) -> bool:
    if node.graph is None or node.inputs[0] is None or node.outputs[0].is_graph_output():
        return False
    source = node.inputs[0]
    if _changes_nothing(node):
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        node.graph.remove(node, safe=True)
        return True
    inner = editing.made_by(source, node.op_type)
    if inner is None or node.op_type == "Slice" or inner.inputs[0] is None:
        return False
    if node.op_type == "Transpose":
        first, second = inner.attributes["perm"].as_ints(), node.attributes["perm"].as_ints()
        node.attributes["perm"] = ir.AttrInt64s("perm", [first[axis] for axis in second])
    elif not _says_all(node):
        return False
    node.replace_input_with(0, inner.inputs[0])
    if not source.uses() and not source.is_graph_output() and inner.graph is not None:
        inner.graph.remove(inner, safe=True)
    return True


def _changes_nothing(node: ir.Node) -> bool:
    if node.op_type == "Transpose":
        permutation = node.attributes["perm"].as_ints()
        return list(permutation) == sorted(permutation)
    if node.op_type == "Slice":
        return _takes_all(node)
    before, after = node.inputs[0].shape if node.inputs[0] is not None else None, node.outputs[0].shape
    free = sum(not isinstance(size, int) for size in before or ())
    return before is not None and after is not None and before == after and (free <= 1 or before.rank() == 1)


def _takes_all(node: ir.Node) -> bool:
    """Whether it starts at the beginning, goes on to the end, whatever that is, and leaves nothing out."""
    starts, ends, _, steps = (*map(editing.constant, node.inputs[1:]), None, None, None)[:4]
    if starts is None or ends is None or (len(node.inputs) == 5 and steps is None):
        return False
    whole = (starts == 0).all() and (ends >= np.iinfo(np.int32).max).all()
    return bool(whole and (steps is None or (steps == 1).all()))


def _says_all(reshape: ir.Node) -> bool:
    """Whether its shape holds for any input: it is constant and copies no dimension (0)."""
    shape = editing.constant(reshape.inputs[1])
    return shape is not None and 0 not in shape
