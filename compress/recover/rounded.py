"""Rounding operators as modules that learn: ranges, layers in codes, and those that only let gradients through."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional

from ..binary_softmax import BINARY, counting
from ..graph import arguments, as_node, assign, tensor
from ..ops import QUANTIZED
from ..straight_through import as_weight, final, grid_of, learn_input, learn_weight, near, range_of, spread
from ..walk import ROUNDS
from ..weights import SIGNS

QUANTIZE = torch.ops.vitc.quantize.default
LINEAR, CONVOLUTION = QUANTIZED.values()
CODES = "_codes"
"""How the tensor of a layer's codes is called, after its weight."""
WEIGHT, STEPS = "weight", "steps"
"""How the parameter is called that rounds to codes: in its own measure, or at two bits and fewer in steps."""


class Rounded(nn.Module):
    """Stands for one node of a quantized program."""

    def write(self, program: GraphModule, node: Node) -> None:
        """Give the node what was learned; there may be nothing."""


class Range(Rounded):
    """An input that is rounded to a grid whose scale learns."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.grid = grid_of(node)
        self.log_scale = nn.Parameter(torch.tensor(self.grid.scale).log())

    def forward(self, x: Tensor) -> Tensor:
        """Rounded."""
        return learn_input(x.float(), self.log_scale.exp(), self.grid)

    def write(self, program: GraphModule, node: Node) -> None:  # noqa: ARG002 (as all of them)
        """The range of the learned scale."""
        node.args = (node.args[0], *range_of(self.grid, self.log_scale), *node.args[3:])


class Layer(Rounded):
    """A linear or a convolution whose codes learn through float weights that round to them."""

    waits = False
    """Whether its weights are taken as floats, for now."""

    def __init__(self, program: GraphModule, node: Node, floats: Mapping[str, Tensor]) -> None:
        super().__init__()
        _, codes_of, scale_of, bias_of, *self.geometry, self.bits = arguments(node)
        codes, scale = tensor(program, codes_of), tensor(program, scale_of)
        weight = floats.get(str(codes_of.target).removesuffix(CODES))
        if weight is None:
            plain = as_weight(codes, codes).float()
            weight = plain * spread(scale, plain)
        chosen = near(weight.float(), codes, scale, self.bits)
        self.register_parameter(STEPS if self.bits <= SIGNS else WEIGHT, nn.Parameter(chosen))
        self.log_scale = nn.Parameter(spread(scale, chosen).log())
        self.bias = None if bias_of is None else nn.Parameter(tensor(program, bias_of).clone())

    @property
    def learned(self) -> Tensor:
        """What rounds to the codes."""
        return next(one for name, one in self.named_parameters() if name in (STEPS, WEIGHT))

    def forward(self, x: Tensor) -> Tensor:
        """What the layer gives with its weight rounded."""
        weight = self._float() if self.waits else learn_weight(self.learned, self.log_scale.exp(), self.bits)
        if weight.dim() == 2:
            return functional.linear(x, weight, self.bias)
        return functional.conv2d(x, weight, self.bias, *self.geometry)

    def _float(self) -> Tensor:
        return self.learned * self.log_scale.exp() if self.bits <= SIGNS else self.learned

    def write(self, program: GraphModule, node: Node) -> None:
        """The codes, scales and bias that were learned."""
        codes, scale = final(self.learned, self.log_scale, self.bits)
        bias = None if self.bias is None else self.bias.detach()
        for stored, value in zip(arguments(node)[1:4], (codes, scale, bias), strict=True):
            if value is not None:
                assign(program, as_node(stored), value)


class OneBit(Rounded):
    """A softmax of one bit whose scales learn; to the scores, gradients pass as if it were the softmax."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(node.args[1]).log().view(-1, 1, 1))

    def forward(self, scores: Tensor) -> Tensor:
        """The scale of its head, or zero."""
        shares = scores.float().softmax(-1)
        return shares - shares.detach() + counting(scores) * self.log_scale.exp()

    def write(self, program: GraphModule, node: Node) -> None:  # noqa: ARG002 (as all of them)
        """The scales that were learned."""
        node.args = (node.args[0], self.log_scale.detach().exp().flatten().tolist())


class Passed(Rounded):
    """Rounding whose grid stays as it is."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.operator: Any = node.target
        self.others = node.args[1:]

    def forward(self, x: Tensor) -> Tensor:
        """Rounded; gradients pass as if it were not."""
        given: Tensor = x + (self.operator(x.detach(), *self.others) - x.detach())
        return given


def rounded(program: GraphModule, node: Node, floats: Mapping[str, Tensor]) -> Rounded | None:
    """What stands for a node while it learns; None for what does not round."""
    if node.target is QUANTIZE:
        return Range(node)
    if node.target is BINARY:
        return OneBit(node)
    if node.target in ROUNDS:
        return Passed(node)
    if node.target in (LINEAR, CONVOLUTION):
        return Layer(program, node, floats)
    return None
