"""Static post-training quantization that leaves a transformer's fragile parts alone.

Linears and convolutions become integer codes times scales, and read their inputs through a calibrated range. The
residual stream, LayerNorm, softmax, GELU and the attention products stay float: rounding the residual sums of a ViT is
what destroys it, and no kernel gains from it.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ..errors import UserError
from ..models.backbone import Backbone
from ..models.data import Batches
from ..models.program import trace
from . import ops  # noqa: F401  (registers the operators)
from .patchify import patchify
from .ranges import Range
from .weights import quantize_channels

aten = torch.ops.aten


@dataclass(frozen=True)
class Quantize:
    """Bits of weights and of activations; weights per output channel, activations per tensor."""

    weight_bits: int = 8
    activation_bits: int = 8
    scheme: str = "onnx"

    def apply(self, backbone: Backbone, batches: Batches) -> Backbone:
        """The backbone as a quantized program, calibrated on `batches`."""
        if backbone.precision != "fp32":
            raise UserError(f"{backbone.name} is {backbone.precision} already; quantize a float backbone, or use --ptq off")
        program = trace(backbone.module, backbone.preprocessing.input_size)
        patchify(program)
        sites = find_sites(program)
        ranges = calibrate(program, {_node(site.args[0]) for site in sites}, batches)
        self._quantize_inputs(program, sites, ranges)
        for site in sites:
            self._quantize_weights(program, site)
        program.graph.eliminate_dead_code()
        program.delete_all_unused_submodules()
        program.recompile()
        return replace(backbone, module=program, precision="int8")

    def _quantize_inputs(
        self, program: GraphModule, sites: list[Node], ranges: dict[Node, Range]
    ) -> None:
        """One `quantize` for every tensor that sites read, shared by all of them."""
        for source, seen in ranges.items():
            with program.graph.inserting_after(source):
                quantized = program.graph.call_function(
                    torch.ops.vitc.quantize.default, (source, seen.low, seen.high, self.activation_bits, self.scheme)
                )
            for site in sites:
                if site.args[0] is source:
                    site.replace_input_with(source, quantized)

    def _quantize_weights(self, program: GraphModule, site: Node) -> None:
        """Replace a site by its quantized operator."""
        x, weight_node, bias, *rest = (*site.args, *[None] * (3 - len(site.args)))
        owner, _, leaf = str(_node(weight_node).target).rpartition(".")
        module = program.get_submodule(owner)
        weight = getattr(module, leaf).detach()
        codes, scale = quantize_channels(weight.flatten(1).float(), self.weight_bits)
        if site.target is aten.linear.default:
            operator, codes, arguments = torch.ops.vitc.linear.default, codes.t().contiguous(), ()
        else:
            operator, codes = torch.ops.vitc.conv2d.default, codes.view(weight.shape)
            arguments = tuple(default if i >= len(rest) else rest[i] for i, default in enumerate(CONV_DEFAULTS))
        with program.graph.inserting_before(site):
            stored = []
            for part, tensor in (("codes", codes), ("scale", scale)):
                module.register_buffer(f"{leaf}_{part}", tensor)
                stored.append(program.graph.get_attr(f"{owner}.{leaf}_{part}".lstrip(".")))
            quantized = program.graph.call_function(operator, (x, *stored, bias, *arguments))
        site.replace_all_uses_with(quantized)
        program.graph.erase_node(site)


def calibrate(program: GraphModule, sources: set[Node], batches: Batches) -> dict[Node, Range]:
    """The range of every tensor of `sources` over the batches."""
    watch = Watch(program, sources)
    with torch.inference_mode():
        for batch in batches:
            watch.run(batch)
    return watch.seen


CONV_DEFAULTS = ([1, 1], [0, 0], [1, 1], 1)


class Watch(Interpreter):
    """Runs a program and widens the ranges of the watched nodes."""

    def __init__(self, program: GraphModule, nodes: set[Node]) -> None:
        super().__init__(program)
        self.seen = {node: Range() for node in program.graph.nodes if node in nodes}

    def run_node(self, n: Node) -> object:
        result = super().run_node(n)
        if n in self.seen:
            assert isinstance(result, Tensor)
            self.seen[n].add(result)
        return result


def find_sites(program: GraphModule) -> list[Node]:
    """The linears and convolutions whose weights are parameters."""
    targets = (aten.linear.default, aten.conv2d.default)
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function" and node.target in targets and _node(node.args[1]).op == "get_attr"
    ]


def _node(argument: object) -> Node:
    assert isinstance(argument, Node)
    return argument
