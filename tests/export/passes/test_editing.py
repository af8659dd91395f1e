import numpy as np
import onnx_ir as ir
import pytest

from vitc.export.passes import editing

TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[2,3] x) => (float[2,3] z) <float[3] w = {1, 2, 3}> { y = Add(x, w)  z = Relu(y) }"""


@pytest.fixture
def graph() -> ir.Graph:
    return ir.from_onnx_text(TEXT).graph


def test_only_what_is_stored_is_constant(graph: ir.Graph) -> None:
    add, relu = graph
    assert editing.constant(add.inputs[0]) is None
    assert editing.constant(relu.inputs[0]) is None
    assert editing.constant(None) is None
    weights = editing.constant(add.inputs[1])
    assert weights is not None
    assert weights.tolist() == [1, 2, 3]
    given = editing.constant(editing.put(add, "Constant", (), {"value_ints": [4, 5]}))
    assert given is not None
    assert given.tolist() == [4, 5]


def test_what_a_node_reads_is_found_where_there_is_something(graph: ir.Graph) -> None:
    add, _ = graph
    value = editing.reads(add, 1)
    assert value is not None
    assert value.name == "w"
    assert editing.reads(add, 2) is None
    assert editing.reads(None, 0) is None


def test_makers_and_readers(graph: ir.Graph) -> None:
    add, relu = graph
    assert editing.made_by(relu.inputs[0], "Add") is add
    assert editing.made_by(relu.inputs[0], "Mul") is None
    assert editing.made_by(relu.inputs[0]) is add
    assert editing.made_by(add.inputs[0]) is None
    assert editing.made_by(add.inputs[0], "Add") is None
    assert editing.only_reader(add.outputs[0]) is relu
    assert editing.only_reader(relu.outputs[0]) is None, "the graph's output is read by whoever runs it"
    editing.put(relu, "Neg", (add.outputs[0],))
    assert editing.only_reader(add.outputs[0]) is None


def test_equal_constants_are_stored_once_and_others_beside_them(graph: ir.Graph) -> None:
    one = editing.store(graph, "c", np.array([1, 2]))
    assert editing.store(graph, "c", np.array([1, 2])) is one
    other, third = editing.store(graph, "c", np.array([1, 3])), editing.store(graph, "c", np.array([1.0, 2.0]))
    assert len({one.name, other.name, third.name}) == 3
    assert editing.store_ints(graph, -1, 4) is editing.store_ints(graph, -1, 4)


def test_a_new_value_takes_the_place_and_the_name_of_an_old_one(graph: ir.Graph) -> None:
    add, relu = graph
    editing.take_over(editing.put(relu, "com.microsoft:Gelu", (add.outputs[0],)), relu.outputs[0])
    assert [(node.domain, node.op_type) for node in graph] == [("", "Add"), ("com.microsoft", "Gelu")]
    assert [value.name for value in graph.outputs] == ["z"]
    assert graph.outputs[0].shape == [2, 3]
