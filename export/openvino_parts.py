"""Parts of a product that are rounded alike are rounded as a whole: one 8-bit result, cut up and moved as bytes.

1. A FakeQuantize with one range for the whole tensor gives the same before and after values are cut up and moved.
2. Where all that is read of a product, with its bias, is rounded by one range, as the queries, keys and values of a
   balanced attention are, the FakeQuantize follows the product, which then writes bytes by itself, and attention reads
   them as they are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .openvino_codes import constant
from .openvino_moves import MOVES

PARTS = (*MOVES, "Slice", "StridedSlice", "Gather")


def round_before_parting(model: Any) -> int:
    """Rewrite the model in place; how many places changed."""
    return sum(_round(node) for node in model.get_ordered_ops() if node.get_type_name() in ("Add", "MatMul"))


def _round(node: Any) -> bool:
    from openvino import opset13 as op

    if node.get_type_name() == "Add" and not _is_biased_product(node):
        return False
    made, readers = node.output(0), list(node.output(0).get_target_inputs())
    ends = list(_ends(made))
    grid = _grid(ends[0]) if len(ends) > 1 else None
    if grid is None or any(_grid(end) != grid for end in ends):
        return False
    *limits, levels = grid
    whole = op.fake_quantize(made, *(op.constant(np.float32(limit)) for limit in limits), levels)
    for reader in readers:
        reader.replace_source_output(whole.output(0))
    for end in ends:
        end.output(0).replace(end.input_value(0))
    return True


def _is_biased_product(add: Any) -> bool:
    """Whether it adds constants to a product."""
    product, bias = add.input_value(0).get_node(), constant(add.input_value(1))
    return product.get_type_name() == "MatMul" and bias is not None


def _ends(value: Any) -> Iterator[Any]:
    """What reads a value past all that cuts it up and moves it."""
    for reader in value.get_target_inputs():
        node = reader.get_node()
        if node.get_type_name() in PARTS and reader.get_index() == 0:
            yield from _ends(node.output(0))
        else:
            yield node


def _grid(end: Any) -> tuple[float, ...] | None:
    """The range of a FakeQuantize, and its levels; None of anything else."""
    if end.get_type_name() != "FakeQuantize":
        return None
    limits = [constant(end.input_value(index)) for index in range(1, 5)]
    if any(limit is None or limit.size != 1 for limit in limits):
        return None
    return *(limit.item() for limit in limits if limit is not None), end.get_attributes()["levels"]
