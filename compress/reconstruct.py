"""Block-wise reconstruction: weights and ranges of a block trained together, until it gives what the float block gives.

Gradients pass straight through the rounding (block by block as BRECQ, arXiv 2102.05426, and for vision transformers
GLF-Q and APHQ-ViT do). No labels are used. A block ends where all
that is known of an image is in one tensor, so no architecture need be known: in a ViT after the residual sums, in a
hybrid after each bridge between convolutions and attention.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn import functional

from .graph import WEIGHTED, as_node, aten, of_images, tensor
from .round_layers import Rounder, Settled
from .straight_through import final, grid_of, learn_input, learn_weight, near, range_of, spread
from .walk import ROUNDS, Known, Walk, evaluate, last_read
from .weights import SIGNS

QUANTIZE = torch.ops.vitc.quantize.default
"""What has a range to learn."""

SITES = 4
"""Layers in a block, at least: attention's two and the perceptron's two."""


@dataclass(frozen=True)
class Reconstruct:
    """How long, and how fast, a block learns."""

    steps: int = 400
    sign_steps: int = 1000
    """Of blocks with weights of two bits and fewer: these have farther to go."""
    images: int = 512
    """That blocks learn from, however many there are: they wait in memory, as the blocks before left them."""
    batch: int = 16
    weight_rate: float = 2e-4
    """Of the weights and biases, as Adam steps them."""
    sign_rate: float = 1e-3
    """Of the weights behind codes of two bits and fewer, in steps."""
    range_rate: float = 2e-3
    """Of the logarithms of the scales."""
    seed: int = 0


@dataclass
class Block:
    """Nodes in a row, the last of which is all that later nodes know of the images."""

    nodes: list[Node]
    reads: Known
    """What they read from before, in the rounded program."""

    @property
    def end(self) -> Node:
        """The node that gives the block's output."""
        return self.nodes[-1]


class Learner:
    """A block in training: its parameters, and what it gives."""

    def __init__(self, program: GraphModule, block: Block, settled: Mapping[Node, Settled]) -> None:
        self.block = block
        self.sites = {node: settled[node] for node in block.nodes if node in settled}
        exact = {node: tensor(program, as_node(node.args[1])).float() for node in self.sites}
        self.grids = {node: grid_of(node) for node in block.nodes if node.target is QUANTIZE}
        self.weights = {
            node: near(exact[node], one.codes, one.scale, one.bits.weight) for node, one in self.sites.items()
        }
        self.biases = {node: one.bias.clone() for node, one in self.sites.items() if one.bias is not None}
        self.scales = {node: torch.tensor(grid.scale).log() for node, grid in self.grids.items()}
        self.weight_scales = {node: spread(one.scale, self.weights[node]).log() for node, one in self.sites.items()}
        for parameter in (*self.of_weights, *self.of_signs.values(), *self.of_ranges):
            parameter.requires_grad_()

    @property
    def of_weights(self) -> list[Tensor]:
        """What learns at the rate of the weights."""
        return [*(self.weights[node] for node in self.sites if node not in self.of_signs), *self.biases.values()]

    @property
    def of_signs(self) -> dict[Node, Tensor]:
        """What learns in steps."""
        return {node: self.weights[node] for node, one in self.sites.items() if one.bits.weight <= SIGNS}

    @property
    def of_ranges(self) -> list[Tensor]:
        """What learns at the rate of the ranges."""
        return [*self.scales.values(), *self.weight_scales.values()]

    def output(self, known: dict[Node, Any]) -> Tensor:
        """What the block gives, from what it reads."""
        for node in self.block.nodes:
            known[node] = self._value(node, known)
        result = known[self.block.end]
        assert isinstance(result, Tensor)
        return result

    def _value(self, node: Node, known: dict[Node, Any]) -> Any:
        if node in self.grids:
            return learn_input(known[node.all_input_nodes[0]], self.scales[node].exp(), self.grids[node])
        if node.target in ROUNDS:
            x = known[node.all_input_nodes[0]]
            return x + (evaluate(node, known) - x).detach()
        if node in self.sites:
            one = self.sites[node]
            weight = learn_weight(self.weights[node], self.weight_scales[node].exp(), one.bits.weight)
            x = known[node.all_input_nodes[0]]
            if node.target is aten.linear.default:
                return functional.linear(x, weight, self.biases.get(node))
            return functional.conv2d(x, weight, self.biases.get(node), *one.geometry)
        return evaluate(node, known)

    def keep(self) -> None:
        """Write what was learned into the program's ranges and the sites' codes."""
        for node, grid in self.grids.items():
            node.args = (node.args[0], *range_of(grid, self.scales[node]), *node.args[3:])
        for node, one in self.sites.items():
            one.codes, one.scale = final(self.weights[node], self.weight_scales[node], one.bits.weight)
            one.bias = self.biases[node].detach() if node in self.biases else None


class Reconstruction:
    """What happens on a walk that also trains: each block, as soon as its layers are settled."""

    def __init__(self, walk: Walk, rounder: Rounder, how: Reconstruct) -> None:
        self.walk, self.rounder, self.how = walk, rounder, how
        self.starts = {block[0]: block for block in blocks(walk.program)}
        self.of_images = tensors_of_images(walk.program)
        self.block: Block | None = None

    def before(self, node: Node) -> None:
        """Settle a layer; note what a block that begins will read."""
        if node in self.starts:
            nodes = self.starts[node]
            inside = set(nodes)
            outside = {read for one in nodes for read in one.all_input_nodes if read not in inside}
            self.block = Block(nodes, {read: self.walk.rounded_of(read) for read in outside})
        self.rounder.visit(node)

    def after(self, node: Node) -> None:
        """Train a block that ends."""
        block = self.block
        if block is None or node is not block.end or not any(one in self.rounder.settled for one in block.nodes):
            return
        with torch.enable_grad():
            self.train(block)
        self.walk.rounded[node] = [self._again(block, at) for at in range(len(self.walk.batches))]

    def train(self, block: Block) -> None:
        """Fit the block to what the float block gives."""
        how, learner = self.how, Learner(self.walk.program, block, self.rounder.settled)
        wanted = torch.cat(self.walk.exact[block.end])
        order = Draws(len(wanted), how.batch, how.seed)
        reads = {node: torch.cat(values) for node, values in block.reads.items() if node in self.of_images}
        others = {node: values[0] for node, values in block.reads.items() if node not in self.of_images}
        sizes = dict.fromkeys((node for node, value in others.items() if isinstance(value, int)), order.batch)
        groups = [
            {"params": learner.of_weights, "lr": how.weight_rate},
            {"params": [*learner.of_signs.values()], "lr": how.sign_rate},
            {"params": learner.of_ranges, "lr": how.range_rate},
        ]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
        steps = how.sign_steps if learner.of_signs else how.steps
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            chosen = order.next()
            known = {node: values[chosen] for node, values in reads.items()}
            loss = functional.mse_loss(learner.output({**known, **others, **sizes}), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        learner.keep()

    def _again(self, block: Block, at: int) -> Tensor:
        """What the block gives for a batch, now that it has changed."""
        known = {node: values[at] for node, values in block.reads.items()}
        for node in block.nodes:
            known[node] = evaluate(node, known, self.walk.instead.get(node))
        result = known[block.end]
        assert isinstance(result, Tensor)
        return result


class Draws:
    """Places of images in random order, all of them before any comes again."""

    def __init__(self, images: int, batch: int, seed: int) -> None:
        self.images, self.batch = images, min(batch, images)
        self.generator = torch.Generator().manual_seed(seed)
        self.left = torch.empty(0, dtype=torch.long)

    def next(self) -> Tensor:
        """The next few."""
        if len(self.left) < self.batch:
            self.left = torch.cat([self.left, torch.randperm(self.images, generator=self.generator)])
        drawn, self.left = self.left[: self.batch], self.left[self.batch :]
        return drawn


def blocks(program: GraphModule) -> Iterator[list[Node]]:
    """The calls of a program in blocks. Each but the last ends with a tensor of as many rows as there are images."""
    of_images, done = tensors_of_images(program), last_read(program)
    (images,) = program.graph.find_nodes(op="placeholder")
    live, block = set[Node](), list[Node]()
    for node in program.graph.nodes:
        if node.op == "call_function":
            block.append(node)
        if node in of_images:
            live.add(node)
        live -= set(done.get(node, ())) - {node}
        if live == {node} and _rows(node) == _rows(images) and sum(one.target in WEIGHTED for one in block) >= SITES:
            yield block
            block = []
    if block:
        yield block


def tensors_of_images(program: GraphModule) -> set[Node]:
    """What may differ from image to image, or has a row for each; sizes are numbers."""
    return {node for node in of_images(program) if not isinstance(node.meta.get("val"), int | torch.SymInt)}


def _rows(node: Node) -> Any:
    """The first side of a node's tensor; None where it is not known."""
    value = node.meta.get("val")
    return value.shape[0] if isinstance(value, Tensor) and value.dim() else None
