import numpy as np
import onnx_ir as ir

from vitc.export.trt_graph import add_constant, constant, reads, source, sweep


def graph() -> ir.Graph:
    """The function relu(x * 2), and a node and a constant that nobody reads."""
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
    two = ir.Value(name="two", const_value=ir.tensor(np.full(2, 2.0, np.float32), name="two"))
    idle = ir.Value(name="idle", const_value=ir.tensor(np.zeros(2, np.float32), name="idle"))
    double = ir.node("Mul", [x, two], name="double")
    answer = ir.node("Relu", [double.outputs[0]], name="answer")
    unread = ir.node("Add", [double.outputs[0], idle], name="unread")
    further = ir.node("Neg", [unread.outputs[0]], name="further")
    nodes = [double, answer, unread, further]
    return ir.Graph([x], [answer.outputs[0]], nodes=nodes, initializers=[two, idle], opset_imports={"": 20})


def test_what_stands_before_a_node_is_found() -> None:
    made = graph()
    double, answer = made[0], made[1]
    assert source(answer, 0) is double
    assert (source(double, 0), source(double, 1), source(double, 7), source(None, 0)) == (None, None, None, None)
    value = reads(double, 1)
    assert value is not None
    assert value.name == "two"


def test_only_what_is_in_the_file_is_a_constant() -> None:
    double = graph()[0]
    np.testing.assert_array_equal(constant(double, 1), [2.0, 2.0])
    assert constant(double, 0) is None
    assert constant(double, 2) is None


def test_a_constant_is_added_once() -> None:
    made = graph()
    first = add_constant(made, "three", np.full(2, 3.0, np.float16))
    assert (first.dtype, list(first.shape or ())) == (ir.DataType.FLOAT16, [2])
    assert add_constant(made, "three", np.zeros(2, np.float16)) is first


def test_what_nobody_reads_is_swept_away_with_what_it_read() -> None:
    made = graph()
    sweep(made)
    assert [node.name for node in made] == ["double", "answer"]
    assert list(made.initializers) == ["two"]
