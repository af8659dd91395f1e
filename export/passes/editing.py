"""How a pass reads and changes a graph: constants, nodes, and who reads what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def reads(node: ir.Node | None, position: int) -> ir.Value | None:
    """An input, where there is a node and it has it."""
    return node.inputs[position] if node is not None and position < len(node.inputs) else None


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """What a value always is, stored or made by a Constant node; None where that depends on the image."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def made_by(value: ir.Value | None, operator: str | None = None) -> ir.Node | None:
    """The node that makes the value; where an operator is named, only if it is one of that type."""
    node = value.producer() if value is not None else None
    return node if node is not None and operator in {None, node.op_type} else None


def only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value which nothing else needs."""
    readers = value.uses()
    return next(iter(readers)).node if len(readers) == 1 and not value.is_graph_output() else None


def axis(node: ir.Node, default: int) -> int:
    """The axis that a node works along; the operator's default where it does not say."""
    return node.attributes["axis"].as_int() if "axis" in node.attributes else default


def store(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """An initializer that holds the array; an equal one of that name is used again."""
    found = graph.initializers.get(name)
    if found is not None:
        held = constant(found)
        if held is not None and held.dtype == array.dtype and np.array_equal(held, array):
            return found
        return store(graph, f"{name}_", array)
    tensor = ir.tensor(np.ascontiguousarray(array) if array.ndim else array, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def store_ints(graph: ir.Graph, *numbers: int) -> ir.Value:
    """A shape, or axes."""
    return store(graph, "ints_" + "_".join(map(str, numbers)).replace("-", "m"), np.array(numbers, dtype=np.int64))


def put(
    before: ir.Node,
    operator: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> ir.Value:
    """A new node in front of another, or of the place of one that will go; `domain:operator` if it is not standard."""
    domain, _, operator = operator.rpartition(":")
    node = ir.node(operator, inputs, attributes, domain=domain, name=name)
    graph_of(before).insert_before(before, node)
    return node.outputs[0]


def take_over(new: ir.Value, old: ir.Value) -> None:
    """All that reads `old` reads `new`, which gets its name; the node that made `old` goes."""
    new.name, new.shape, new.type = old.name, old.shape, old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    node = old.producer()
    assert node is not None
    graph_of(node).remove(node, safe=True)


def graph_of(node: ir.Node) -> ir.Graph:
    """Where a node stands."""
    assert isinstance(node.graph, ir.Graph)
    return node.graph
