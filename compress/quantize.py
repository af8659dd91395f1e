"""Static post-training quantization that leaves a transformer's fragile parts alone.

Linears and convolutions become integer codes times scales, and read their inputs through a calibrated range. The
residual stream, LayerNorm, softmax, GELU and the attention products stay float: rounding the residual sums of a ViT is
what destroys it, and no kernel gains from it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ..errors import UserError
from ..models.backbone import Backbone
from ..models.data import Batches
from ..models.program import trace
from . import ops  # noqa: F401  (registers the operators)
from .patchify import arguments, patchify
from .ranges import Range
from .scheme import SCHEMES
from .weights import quantize_channels

OPERATORS: dict[object, Callable[..., Tensor]] = {
    torch.ops.aten.linear.default: torch.ops.vitc.linear.default,
    torch.ops.aten.conv2d.default: torch.ops.vitc.conv2d.default,
}
"""What is quantized, and what it becomes."""


@dataclass(frozen=True)
class Quantize:
    """Bits of weights and of activations; weights per output channel, activations per tensor."""

    weight_bits: int = 8
    activation_bits: int = 8
    scheme: str = "asymmetric"
    grouped: bool = False
    """Grouped and depthwise convolutions too. CPU engines run them slower in integers, or in float after all."""

    def __post_init__(self) -> None:
        """Refuse what no integer code can hold."""
        for name, least in (("weight_bits", 1), ("activation_bits", 2)):
            if not least <= getattr(self, name) <= 8:
                raise UserError(f"{name} is {getattr(self, name)}; it must be between {least} and 8")
        if self.scheme not in SCHEMES:
            raise UserError(f"scheme does not know {self.scheme!r}; allowed: {', '.join(SCHEMES)}")

    @property
    def precision(self) -> str:
        """What an artifact of it is called; 8-bit activations go without saying."""
        if self.activation_bits == 8:
            return "binary" if self.weight_bits == 1 else f"int{self.weight_bits}"
        return f"w{self.weight_bits}a{self.activation_bits}"

    def check(self, backbone: Backbone) -> None:
        """Refuse what is quantized already."""
        if backbone.precision != "fp32":
            raise UserError(
                f"{backbone.name} is {backbone.precision} already; quantize a float backbone, or use --ptq off"
            )

    def apply(self, backbone: Backbone, batches: Batches) -> Backbone:
        """The backbone as a quantized program, calibrated on `batches`."""
        self.check(backbone)
        program = trace(backbone.module, backbone.preprocessing.input_size)
        patchify(program)
        sites = [site for site in find_sites(program) if self.grouped or not is_grouped(site)]
        ranges = calibrate(program, {_node(site.args[0]) for site in sites}, batches)
        self._quantize_inputs(program, sites, ranges)
        for site in sites:
            # What reads pixels and what tells the classes apart are small, and the first to suffer.
            self._quantize_weights(program, site, 8 if site in (sites[0], sites[-1]) else self.weight_bits)
        program.graph.eliminate_dead_code()
        # A new module holds only what its graph still reads: the float weights stay behind.
        return replace(backbone, module=GraphModule(program, program.graph), precision=self.precision)

    def _quantize_inputs(self, program: GraphModule, sites: list[Node], ranges: dict[Node, Range]) -> None:
        """One `quantize` for every tensor that sites read, shared by all of them."""
        for source, seen in ranges.items():
            with program.graph.inserting_after(source):
                quantized = program.graph.call_function(
                    torch.ops.vitc.quantize.default, (source, seen.low, seen.high, self.activation_bits, self.scheme)
                )
            for site in sites:
                if site.args[0] is source:
                    site.replace_input_with(source, quantized)

    def _quantize_weights(self, program: GraphModule, site: Node, bits: int) -> None:
        """Replace a site by its quantized operator."""
        x, weight, bias, *geometry = arguments(site)
        owner, _, leaf = str(weight.target).rpartition(".")
        module = program.get_submodule(owner)
        codes, scale = codes_of(getattr(module, leaf).detach().float(), bits)
        with program.graph.inserting_before(site):
            stored = []
            for part, tensor in (("codes", codes), ("scale", scale)):
                module.register_buffer(f"{leaf}_{part}", tensor)
                stored.append(program.graph.get_attr(f"{owner}.{leaf}_{part}".lstrip(".")))
            quantized = program.graph.call_function(OPERATORS[site.target], (x, *stored, bias, *geometry, bits))
        site.replace_all_uses_with(quantized)
        program.graph.erase_node(site)


def codes_of(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes as the operator takes them, [K, N] or [O, I, h, w], and scales.

    The neighbours of a convolution are its input channels: integer kernels have the channels last.
    """
    if weight.dim() == 2:
        codes, scale = quantize_channels(weight, bits)
        return codes.t().contiguous(), scale
    channels_last = weight.movedim(1, -1)
    codes, scale = quantize_channels(channels_last.flatten(1), bits)
    return codes.view(channels_last.shape).movedim(-1, 1).contiguous(), scale


def calibrate(program: GraphModule, sources: set[Node], batches: Batches) -> dict[Node, Range]:
    """The range of every tensor of `sources` over the batches."""
    watch = Watch(program, sources)
    with torch.inference_mode():
        for batch in batches:
            watch.run(batch)
    if any(seen.low > seen.high for seen in watch.seen.values()):
        raise UserError("no images to calibrate with; give at least one")
    return watch.seen


class Watch(Interpreter):
    """Runs a program and widens the ranges of the watched nodes."""

    def __init__(self, program: GraphModule, nodes: set[Node]) -> None:
        super().__init__(program)
        self.seen = {node: Range() for node in program.graph.nodes if node in nodes}

    def run_node(self, n: Node) -> object:
        """The node's result, noted if the node is watched."""
        result = super().run_node(n)
        if n in self.seen:
            assert isinstance(result, Tensor)
            self.seen[n].add(result)
        return result


def find_sites(program: GraphModule) -> list[Node]:
    """The linears and convolutions whose weights are parameters."""
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function" and node.target in OPERATORS and _node(node.args[1]).op == "get_attr"
    ]


def is_grouped(site: Node) -> bool:
    """Whether a site is a convolution whose outputs see only some of its inputs."""
    return site.target is torch.ops.aten.conv2d.default and bool(arguments(site)[6] != 1)


def _node(argument: object) -> Node:
    assert isinstance(argument, Node)
    return argument
