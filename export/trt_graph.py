"""How the passes and rules for TensorRT look around in an ONNX graph."""

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray


def source(node: ir.Node | None, position: int) -> ir.Node | None:
    """The node that makes an input; None for a constant, for the model's own input and where there is none."""
    value = reads(node, position)
    return value.producer() if value is not None else None


def reads(node: ir.Node | None, position: int) -> ir.Value | None:
    """An input, where the node has it."""
    return node.inputs[position] if node is not None and position < len(node.inputs) else None


def constant(node: ir.Node | None, position: int) -> NDArray[Any] | None:
    """An input's values, where they are in the file."""
    value = reads(node, position)
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """An initializer of that name; the one that is there already, if there is one."""
    if name not in graph.initializers:
        tensor = ir.tensor(array, name=name)
        kind = ir.TensorType(tensor.dtype)
        graph.register_initializer(ir.Value(name=name, type=kind, shape=ir.Shape(array.shape), const_value=tensor))
    return graph.initializers[name]


def sweep(graph: ir.Graph) -> None:
    """Remove nodes and constants that nobody reads."""
    for node in reversed(list(graph)):
        if not any(output.uses() or output.is_graph_output() for output in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
