"""The softmax of every attention becomes one bit, and nothing else changes."""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from vitc.compress.attention import SOFTMAX, find_softmaxes, operands, split
from vitc.compress.binarize import binarize, centre, refuse_without
from vitc.compress.binary_softmax import BINARY, counting
from vitc.compress.graph import as_node
from vitc.errors import UserError
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def program(small_vit: Callable[..., Backbone]) -> GraphModule:
    made = trace(small_vit(depth=2).module, (3, 32, 32))
    split(made)
    return made


def test_every_softmax_is_replaced_by_what_counts(program: GraphModule) -> None:
    first = find_softmaxes(program)[0]
    scores = as_node(first.args[0])
    values = run_to(program, scores.name)
    note = binarize(program, [IMAGES])
    program.graph.lint()
    assert note.startswith("2 attentions of 1 bit: ")
    assert not [node for node in program.graph.nodes if node.target in SOFTMAX]
    one, other = program.graph.find_nodes(op="call_function", target=BINARY)
    shares, counted = values.softmax(-1), counting(values)
    wanted = (shares * counted).sum((0, 2, 3)) / counted.sum((0, 2, 3))
    torch.testing.assert_close(torch.tensor(scales(one)), wanted, rtol=1e-4, atol=1e-6)
    assert len(scales(one)) == len(scales(other)) == 2
    assert [operand.role for operand in operands(program)] == ["query", "key", "value"] * 2
    assert program(IMAGES).isfinite().all()


def test_windows_with_masks_and_tables_are_binarized_too() -> None:
    torch.manual_seed(0)
    module = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, embed_dim=24, num_classes=5, depths=(2, 1), num_heads=(3, 3)
    )
    program = trace(module.eval(), (3, 32, 32))
    assert binarize(program, [IMAGES]).startswith("3 attentions of 1 bit")
    assert program(IMAGES).isfinite().all()


def test_centring_changes_nothing_and_leaves_no_mean(program: GraphModule) -> None:
    wanted = program(IMAGES)
    product = as_node(next(iter(find_softmaxes(program)[0].users))).name
    assert run_to(program, product).mean((0, 2)).abs().max() > 0.01
    centre(program, [IMAGES])
    torch.testing.assert_close(program(IMAGES), wanted, rtol=1e-4, atol=1e-4)
    assert run_to(program, product).mean((0, 2)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 900, 5)),
        nn.Sequential(nn.Flatten(), nn.Softmax(1)),
    ],
    ids=["convolutions", "a softmax that weighs nothing"],
)
def test_what_has_no_attention_is_refused_and_what_has_is_not(
    module: nn.Module, small_vit: Callable[..., Backbone]
) -> None:
    refuse_without(small_vit(depth=1))
    backbone = Backbone("plain", module.eval(), Preprocessing((3, 32, 32)), 5, (), "abc")
    with pytest.raises(UserError, match=r"plain has no attention that could be of one bit: .*; leave --binary"):
        refuse_without(backbone)


def scales(binary: Node) -> list[float]:
    _, found = cast("tuple[Node, list[float]]", binary.args)
    return found


def run_to(program: GraphModule, name: str) -> Tensor:
    """What a node of the program gives for the images."""
    kept: dict[str, Tensor] = {}

    class Keeping(Interpreter):
        def run_node(self, n: Node) -> object:
            result = super().run_node(n)
            if n.name == name:
                assert isinstance(result, Tensor)
                kept[name] = result
            return result

    with torch.no_grad():
        Keeping(program).run(IMAGES)
    return kept[name]
