from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress import ranges
from vitc.compress.clipping import BINS, METHODS, Histogram
from vitc.compress.ranges import SHARES, Along, Counts, Range, Whole, calibrate, calibrate_axis
from vitc.compress.scheme import SCHEMES
from vitc.errors import UserError
from vitc.models.program import trace

each_method = pytest.mark.parametrize("method", METHODS)
each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


class Heads(nn.Module):
    """Heads of very different sizes, a convex activation, and a tensor of zeros."""

    def forward(self, images: Tensor) -> Tensor:
        heads = torch.tanh(images.flatten(2).unflatten(2, (4, 4))) * torch.tensor([1.0, 10.0, 0.01]).view(3, 1, 1)
        return nn.functional.gelu(heads) + torch.relu(-heads.abs())


@pytest.fixture(scope="module")
def program() -> GraphModule:
    return trace(Heads(), (3, 4, 4))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(50, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def nodes(program: GraphModule) -> dict[str, Node]:
    aten = torch.ops.aten
    names = {aten.mul.Tensor: "heads", aten.gelu.default: "gelu", aten.relu.default: "zeros"}
    return {names[node.target]: node for node in program.graph.nodes if node.target in names}


def values(images: Tensor) -> dict[str, Tensor]:
    heads = torch.tanh(images.flatten(2).unflatten(2, (4, 4))) * torch.tensor([1.0, 10.0, 0.01]).view(3, 1, 1)
    return {"heads": heads, "gelu": nn.functional.gelu(heads), "zeros": torch.relu(-heads.abs())}


def seen(*parts: Tensor) -> Range:
    found = Range()
    for part in parts:
        found.add(part)
    return found


def test_a_range_holds_the_extremes() -> None:
    assert seen(torch.tensor([[1.0, -2.0], [0.5, 0.0]]), torch.tensor([3.5])) == Range(-2.0, 3.5)


def test_neither_order_nor_batching_matters() -> None:
    values = torch.randn(24, 7, generator=torch.Generator().manual_seed(0))
    whole = seen(values)
    assert seen(*values) == whole
    assert seen(*values.split(5)) == whole
    assert seen(*values.flip(0).split(7)) == whole
    assert seen(*values[torch.randperm(24)].split(1)) == whole


def test_extremes_are_the_values_themselves() -> None:
    value = torch.tensor([0.1])
    assert torch.tensor(seen(value).low) == value
    assert seen(value) == Range(value.item(), value.item())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(UserError, match="not finite"):
        seen(torch.tensor([1.0, bad, 2.0]))


@each_method
@each_scheme
def test_no_method_minds_order_or_batching(program: GraphModule, images: Tensor, method: str, scheme: str) -> None:
    sources = dict.fromkeys(nodes(program).values(), Whole(4))
    along = {node: Along(1, 4) for node in sources}
    wanted = calibrate(program, sources, [images], method, scheme)
    wanted_axis = calibrate_axis(program, along, [images], method, scheme)
    for batches in (images.split(1), images.flip(0).split(7)):
        assert calibrate(program, sources, batches, method, scheme) == wanted
        assert calibrate_axis(program, along, batches, method, scheme) == wanted_axis


def test_minmax_is_what_was_seen(program: GraphModule, images: Tensor) -> None:
    found = calibrate(program, dict.fromkeys(nodes(program).values(), Whole(8)), images.split(9))
    for name, node in nodes(program).items():
        assert found[node] == seen(values(images)[name])


@pytest.mark.parametrize("method", ["percentile", "mse", "cubic", "entropy"])
@each_scheme
def test_a_method_chooses_from_all_values(program: GraphModule, images: Tensor, method: str, scheme: str) -> None:
    node = nodes(program)["heads"]
    x = values(images)["heads"]
    low, high = x.min().item(), x.max().item()
    counted = Histogram(low, high, torch.histc(x, BINS, low, high).long().numpy())
    wanted = METHODS[method](counted, 4, SCHEMES[scheme])
    found = calibrate(program, {node: Whole(4)}, images.split(9), method, scheme)[node]
    assert (found.low, found.high) == pytest.approx(wanted, abs=2 * counted.width)


def test_each_source_has_its_own_bits(program: GraphModule, images: Tensor) -> None:
    heads, gelu = (nodes(program)[name] for name in ("heads", "gelu"))
    mixed = calibrate(program, {heads: Whole(3), gelu: Whole(8)}, [images], "mse")
    assert mixed[heads] == calibrate(program, {heads: Whole(3)}, [images], "mse")[heads]
    assert mixed[gelu] == calibrate(program, {gelu: Whole(8)}, [images], "mse")[gelu]
    assert mixed[gelu] != calibrate(program, {gelu: Whole(3)}, [images], "mse")[gelu]


@each_method
def test_an_axis_gives_each_index_what_it_would_get_alone(program: GraphModule, images: Tensor, method: str) -> None:
    node = nodes(program)["gelu"]
    for axis in (1, -1):
        lows, highs = calibrate_axis(program, {node: Along(axis, 4)}, images.split(9), method)[node]
        alone = [one_tensor(part, method) for part in values(images)["gelu"].unbind(axis)]
        assert lows == tuple(low for low, _ in alone)
        assert highs == tuple(high for _, high in alone)


def one_tensor(x: Tensor, method: str) -> tuple[float, float]:
    if method == "minmax":
        return x.min().item(), x.max().item()
    counts = Counts(x.min()[None], x.max()[None])
    counts.add(x)
    return METHODS[method](counts.of(0), 4, SCHEMES["asymmetric"])


def test_zeros_keep_a_range_of_nothing(program: GraphModule, images: Tensor) -> None:
    node = nodes(program)["zeros"]
    for method in METHODS:
        assert calibrate(program, {node: Whole(4)}, [images], method)[node] == Range(0.0, 0.0)


def test_every_value_is_counted_in_its_bin() -> None:
    x = torch.tensor([[-1.0, 0.0], [3.0, 5.0], [1.0, 5.0]])
    counts = Counts(x.amin(0), x.amax(0))
    counts.add(x)
    counts.add(x[:1])
    first, second = counts.of(0), counts.of(1)
    assert (first.low, first.high, second.low, second.high) == (-1.0, 3.0, 0.0, 5.0)
    assert {place: first.counts[place] for place in first.counts.nonzero()[0]} == {0: 2, BINS // 2: 1, BINS - 1: 1}
    assert {place: second.counts[place] for place in second.counts.nonzero()[0]} == {0: 2, BINS - 1: 2}


def test_a_position_that_matters_twice_is_counted_twice() -> None:
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    weighed, again = (
        Counts(x.min()[None], x.max()[None], weights) for weights in (torch.tensor([2.0, 0.0, 1.0]), None)
    )
    for part in x.split(2):
        weighed.add(part)
    again.add(x[:, [0, 0, 2]])
    assert (weighed.of(0).counts == again.of(0).counts * (SHARES // 2)).all()


@pytest.mark.parametrize("calibrated", [calibrate, calibrate_axis])
def test_no_images_are_refused(program: GraphModule, calibrated: Callable[..., object]) -> None:
    with pytest.raises(UserError, match="no images"):
        calibrated(program, {}, [])


@each_method
def test_images_that_are_not_finite_are_refused(program: GraphModule, images: Tensor, method: str) -> None:
    with pytest.raises(UserError, match="not finite"):
        calibrate(program, {nodes(program)["heads"]: Whole(4)}, [images * torch.nan], method)


def test_memory_does_not_grow_with_the_images(
    program: GraphModule, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []

    class Weighed(Counts):
        def add(self, values: Tensor) -> None:
            super().add(values)
            kept.append(sum(each.untyped_storage().nbytes() for each in vars(self).values() if each is not None))

    monkeypatch.setattr(ranges, "Counts", Weighed)
    calibrate(program, {nodes(program)["heads"]: Whole(4)}, images.split(5), "mse")
    assert len(kept) == 10
    assert len(set(kept)) == 1
