from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.observe import SAMPLED_IMAGES, observe, watch
from vitc.errors import UserError
from vitc.models.program import trace

SIZE = (3, 8, 8)


class Windows(nn.Module):
    """Channels first, channels last, and every image cut into four windows."""

    def forward(self, images: Tensor) -> Tensor:
        first = torch.relu(images)
        last = torch.sigmoid(first.permute(0, 2, 3, 1))
        windows = last.reshape(-1, 2, 4, 2, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 3)
        return torch.tanh(windows)


@pytest.fixture(scope="module")
def program() -> GraphModule:
    return trace(Windows(), SIZE)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(70, *SIZE, generator=torch.Generator().manual_seed(0))


def called(program: GraphModule, operator: Callable[..., object]) -> Node:
    (found,) = program.graph.find_nodes(op="call_function", target=operator)
    assert isinstance(found, Node)
    return found


def relu(program: GraphModule) -> Node:
    return called(program, torch.ops.aten.relu.default)


def tanh(program: GraphModule) -> Node:
    return called(program, torch.ops.aten.tanh.default)


def test_extremes_are_those_of_each_channel(program: GraphModule, images: Tensor) -> None:
    seen = observe(program, {relu(program): 1, tanh(program): -1}, images.split(32))
    first = images.relu()
    last = first.sigmoid().tanh()
    assert torch.equal(seen[relu(program)].low, first.amin((0, 2, 3)))
    assert torch.equal(seen[relu(program)].high, first.amax((0, 2, 3)))
    torch.testing.assert_close(seen[tanh(program)].low, last.amin((0, 2, 3)))
    torch.testing.assert_close(seen[tanh(program)].high, last.amax((0, 2, 3)))


def test_no_rows_are_taken_unasked(program: GraphModule, images: Tensor) -> None:
    assert observe(program, {relu(program): 1}, [images])[relu(program)].rows.shape == (0, 3)


@pytest.mark.parametrize("where", [relu, tanh])
@pytest.mark.parametrize("rows", [1, 40, 64, 200, 640])
def test_batching_changes_nothing(
    program: GraphModule, images: Tensor, rows: int, where: Callable[[GraphModule], Node]
) -> None:
    node = where(program)
    axes = {node: 1 if where is relu else -1}
    wanted = observe(program, axes, [images], rows)[node]
    for batch in (1, 3, 32):
        found = observe(program, axes, images.split(batch), rows)[node]
        assert torch.equal(found.rows, wanted.rows)
        assert torch.equal(found.low, wanted.low)
        assert torch.equal(found.high, wanted.high)
    assert 0 < len(wanted.rows) <= rows


def test_rows_come_evenly_from_the_first_images_and_their_positions(program: GraphModule, images: Tensor) -> None:
    node = relu(program)
    rows = observe(program, {node: 1}, images.split(7), SAMPLED_IMAGES * 4)[node].rows
    each = images[:SAMPLED_IMAGES].relu().flatten(2).mT[:, [8, 24, 40, 56]]
    assert torch.equal(rows, each.flatten(0, 1))


def test_small_tensors_give_what_they_have(program: GraphModule, images: Tensor) -> None:
    node = relu(program)
    rows = observe(program, {node: 1}, [images[:2]], 100_000)[node].rows
    assert torch.equal(rows, images[:2].relu().flatten(2).mT.flatten(0, 1))


def test_what_was_seen_keeps_no_activations_alive(program: GraphModule, images: Tensor) -> None:
    node = relu(program)
    seen = observe(program, {node: 1}, [images], 64)[node]
    for tensor in (seen.low, seen.high, seen.rows):
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_looks_see_every_batch_and_its_images(program: GraphModule, images: Tensor) -> None:
    met: list[tuple[int, int]] = []
    watch(program, {tanh(program): lambda values, count: met.append((len(values), count))}, images[:5].split(2))
    assert met == [(8, 2), (8, 2), (4, 1)]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(program: GraphModule, images: Tensor, bad: float) -> None:
    spoilt = images[:4].clone()
    spoilt[3, 1, 2, 2] = bad
    with pytest.raises(UserError, match="not finite"):
        observe(program, {relu(program): 1}, spoilt.split(2))


def test_no_images_are_refused(program: GraphModule) -> None:
    with pytest.raises(UserError, match="no images"):
        observe(program, {relu(program): 1}, [])
