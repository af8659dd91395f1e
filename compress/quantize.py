"""Static post-training quantization that leaves a transformer's fragile parts alone.

Linears and convolutions become integer codes times scales, and read their inputs through a calibrated range. The
residual stream, LayerNorm, softmax and GELU stay float: rounding the residual sums of a ViT is what destroys it, and no
kernel gains from it. So do the attention products, but where somebody gains. What precedes the rounding changes nothing
in real numbers; what follows it makes up for its errors, layer by layer, or block by block.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import save_file
from torch.fx import GraphModule

from ..atomic import replacing
from ..errors import UserError
from ..models.backbone import FLOAT, Backbone
from ..models.data import Batches, first
from ..models.program import trace
from .aids import Aids
from .attention import split
from .binarize import binarize, refuse_without
from .clipping import METHODS
from .draft import Bits, Draft
from .equalize import STEPS
from .fold_norm import fold
from .graph import as_node, tensor
from .importance import weigh
from .logarithmic import SEARCHES
from .patchify import patchify
from .placing import put
from .reconstruct import Reconstruct, Reconstruction
from .round_inputs import UNIFORM, Inputs
from .round_layers import Rounder, Settled
from .rounding import ROUNDINGS
from .scheme import SCHEMES
from .sensitivity import keep
from .walk import Walk
from .weights import SIGNS
from .widths import Override, widths

IMAGES = 48
"""How many go through the walk, however many there are: its memory grows with them, its accuracy hardly."""
SOUNDED = 16
"""How many images tell which layers to keep."""
MANY, FEW = "gptq", "signs"
"""How weights are rounded where nobody says: to many codes, and to so few that a longer search pays."""
ROTATED = 6
"""Bits of activations from which on the residual stream is rotated: with more, its outliers cost less than it does."""
EFFORTS: dict[str, Reconstruct | None] = {"fast": None, "normal": None, "high": Reconstruct()}
"""How blocks are trained after the closed forms, where anything has fewer than 8 bits."""


@dataclass(frozen=True)
class Quantize:
    """Bits of weights and of activations, and how to get there; what is None suits the bits.

    Weights are rounded per output channel, activations per tensor.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    scheme: str = "asymmetric"
    effort: str = "normal"
    equalize: tuple[str, ...] | None = None
    ranges: str = "mse"
    rounding: str | None = None
    attention: bool = False
    """What the attention products read, too."""
    binary_attention: bool = False
    """What attention weighs with has one bit, and the values have eight, whatever `attention` says."""
    softmax: str = UNIFORM
    """The grid of what attention weighs with, where attention is rounded: uniform, or one to compare in simulation."""
    axiswise: bool = False
    """A range for every head of attention and every channel of depthwise convolutions, where the target allows it."""
    grouped: bool = False
    """Grouped and depthwise convolutions too. CPU engines run them slower in integers, or in float after all."""
    exclude: tuple[str, ...] = ()
    """Layers that stay float: patterns of their names, or types."""
    layers: tuple[Override, ...] = ()
    """Widths of single layers, the later ones laid over the earlier."""
    keep: int = 0
    """How many layers keep weights of 8 bits, where anything has fewer: those that bear few bits least."""

    def __post_init__(self) -> None:
        """Refuse what no integer code can hold, and words that mean nothing."""
        if self.keep < 0:
            raise UserError(f"keep is {self.keep}; it must be a number of layers, 0 or more")
        for name, least in (("weight_bits", 1), ("activation_bits", 2)):
            for bits in (getattr(self, name), *(getattr(one, name) for one in self.layers)):
                if bits is not None and not least <= bits <= 8:
                    raise UserError(f"{name} is {bits}; it must be between {least} and 8")
        words: tuple[tuple[str, tuple[str | None, ...], Collection[str]], ...] = (
            ("scheme", (self.scheme,), SCHEMES),
            ("effort", (self.effort,), EFFORTS),
            ("equalize", self.equalize or (), STEPS),
            ("ranges", (self.ranges,), METHODS),
            ("rounding", (self.rounding,), ROUNDINGS),
            ("softmax", (self.softmax,), (UNIFORM, *SEARCHES)),
        )
        for name, values, allowed in words:
            for value in values:
                if value is not None and value not in allowed:
                    raise UserError(f"{name} does not know {value!r}; allowed: {', '.join(allowed)}")

        if self.binary_attention and self.softmax != UNIFORM:
            raise UserError(f"softmax is {self.softmax!r}, and attention of one bit has no grid; choose one of them")

    @property
    def precision(self) -> str:
        """What an artifact of it is called; 8-bit activations go without saying."""
        return f"{self._bits}-binary-attention" if self.binary_attention else self._bits

    @property
    def _bits(self) -> str:
        if self.activation_bits == 8:
            return {1: "binary", 2: "binary2"}.get(self.weight_bits, f"int{self.weight_bits}")
        return f"w{self.weight_bits}a{self.activation_bits}"

    def check(self, backbone: Backbone) -> None:
        """Refuse what is quantized already, and patterns that name no layer."""
        if backbone.precision != FLOAT:
            raise UserError(
                f"{backbone.name} is {backbone.precision} already; quantize a float backbone, or use --ptq off"
            )
        if self.binary_attention:
            refuse_without(backbone)
        if self.exclude or self.layers:
            self.widths(trace(backbone.module, backbone.preprocessing.input_size))

    def apply(self, backbone: Backbone, batches: Batches, aids: Aids | None = None) -> Backbone:
        """The backbone as a quantized program, calibrated on `batches`."""
        self.check(backbone)
        losses = (aids or Aids()).losses
        program = trace(backbone.module, backbone.preprocessing.input_size)
        fold(program)
        patchify(program)
        if self.attention or self.binary_attention:
            split(program)
        draft = Draft(program, self.widths(program), self.scheme)
        if self.keep:
            draft = replace(draft, bits=keep(draft, first(batches, SOUNDED), self.method, self.keep))
        if self.binary_attention:
            draft.notes.append(binarize(program, batches))
        losses.measure(draft, batches, "as it came")
        for name in self.steps:
            STEPS[name].step().apply(draft, batches)
            losses.measure(draft, batches, name)
        draft.weights = weigh(program, batches)
        inputs = Inputs(draft, batches, self.ranges, self.axiswise)
        if self.attention:
            inputs.of_products(self.activation_bits, self.softmax)
        elif self.binary_attention:
            inputs.of_values()
        inputs.of_layers()
        settled = self._round_weights(draft, batches)
        if aids and aids.floats:
            keep_floats(program, settled, aids.floats)
        for one in settled:
            losses.walked(one)
            put(program, one)
        losses.notes += draft.notes
        program.graph.eliminate_dead_code()
        # A new module holds only what its graph still reads: the float weights stay behind.
        return replace(backbone, module=GraphModule(program, program.graph), precision=self.precision)

    def widths(self, program: GraphModule) -> dict[str, Bits]:
        """The bits of every layer that will be rounded."""
        bits = Bits(self.weight_bits, self.activation_bits)
        return widths(program, bits, self.layers, self.exclude, grouped=self.grouped)

    @property
    def method(self) -> str:
        """How weights are rounded."""
        return self.rounding or (FEW if self.weight_bits <= SIGNS else MANY)

    @property
    def steps(self) -> tuple[str, ...]:
        """What makes the float program easier to round."""
        if self.equalize is not None:
            return self.equalize
        rotated = ("rotate",) if self.activation_bits <= ROTATED else ()
        return (*rotated, *(("balance",) if self.attention else ()), "smooth")

    def _round_weights(self, draft: Draft, batches: Batches) -> list[Settled]:
        """The codes of every layer, chosen on a walk with the first images."""
        low = any(bits != Bits(8, 8) for bits in draft.bits.values())
        how = EFFORTS[self.effort] if low else None
        walk = Walk(draft.program, first(batches, how.images if how else IMAGES), exactly=how is not None)
        rounder = Rounder(draft, walk, self.method)
        if how is None:
            walk.run(rounder.visit, lambda _: None)
        else:
            training = Reconstruction(walk, rounder, how)
            walk.run(training.before, training.after)
        return list(rounder.settled.values())


def keep_floats(program: GraphModule, settled: Sequence[Settled], path: Path) -> None:
    """Write the weights that codes were chosen for, by the names that their codes will have."""
    weights = [as_node(one.site.args[1]) for one in settled]
    with replacing(path) as partial:
        save_file({str(node.target): tensor(program, node).contiguous() for node in weights}, partial)
