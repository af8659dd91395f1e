"""A backbone as something that learns: its answers, what it knows on the way, and what it becomes afterwards.

Norms stay as they are in eval mode, and nothing is dropped out: what learns is the program that will be exported. Of a
quantized program the codes learn through float weights that round to them, and ranges learn too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from ...models.backbone import FLOAT, Backbone
from ...models.program import trace
from ..fold_norm import fold
from ..graph import as_node, assign, aten, attribute
from .in_turn import waiting
from .loss import LAST
from .rounded import STEPS, Layer, Rounded, rounded
from .stages import features_of, find_stages

PREFIX = "learned_"
"""How the modules are called that stand for a program's rounding operators."""


class Student(nn.Module):
    """Images in; answers, and features, out."""

    def __init__(self, backbone: Backbone, floats: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self._backbone = [backbone]  # in a list: it is no part of the module
        program = trace(backbone.module, backbone.preprocessing.input_size)
        if backbone.precision == FLOAT:
            fold(program)
        self._program = [program]
        self.net = learning(program, floats or {})
        modules = (getattr(self.net, PREFIX + node.name) for node in waiting(program))
        self._late = [module for module in modules if isinstance(module, Layer)]

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [N, classes]; what the last layer reads, if any, and the first token behind each stage."""
        logits, features = self.net(images)
        return logits.flatten(1), features

    @contextmanager
    def turn(self, *, of_attention: bool) -> Iterator[None]:
        """A block in which layers outside attention may have to wait."""
        for layer in self._late:
            layer.waits = of_attention
        yield
        for layer in self._late:
            layer.waits = False

    def learned(self) -> dict[str, Tensor]:
        """What learns, by name."""
        return {name: one.detach() for name, one in self.net.named_parameters() if one.requires_grad}

    def learn(self, values: Mapping[str, Tensor]) -> None:
        """Take over what was learned."""
        with torch.no_grad():
            for name, one in self.net.named_parameters():
                if name in values:
                    one.copy_(values[name])

    @property
    def in_signs(self) -> bool:
        """Whether layers are rounded to two bits or fewer."""
        return any(name.rpartition(".")[2] == STEPS for name, _ in self.net.named_parameters())

    def groups(self, rate: float, of_rounding: Mapping[str, float]) -> list[dict[str, Any]]:
        """What learns, and how fast: what rounding operators learn by, by its name, and all else."""
        found: dict[float, list[Tensor]] = {}
        for name, one in self.net.named_parameters():
            if one.requires_grad:
                rounds = name.startswith(PREFIX)
                found.setdefault(of_rounding.get(name.rpartition(".")[2], rate) if rounds else rate, []).append(one)
        return [{"params": those, "lr": own, "initial": own} for own, those in sorted(found.items())]

    def backbone(self, word: str) -> Backbone:
        """What was learned, as a backbone; `word` says how."""
        backbone, program = self._backbone[0], self._program[0]
        self.net.to("cpu")
        modules, values = dict(self.net.named_children()), self.learned()
        for node in program.graph.nodes:
            module = modules.get(PREFIX + node.name)
            if isinstance(module, Rounded):
                module.write(program, node)
            elif node.op == "get_attr" and node.target in values:
                assign(program, node, values[node.target])
        program.recompile()
        made = trace(program, backbone.preprocessing.input_size)
        return replace(backbone, module=made, form=(*backbone.form, word))


def learning(program: GraphModule, floats: Mapping[str, Tensor]) -> GraphModule:
    """A program with the same parameters, rounding that lets gradients through, and features beside its answers."""
    graph, copies, held = Graph(), dict[Node, Node](), dict[str, Any]()
    for node in program.graph.nodes:
        if node.op == "output":
            break
        if (module := rounded(program, node, floats)) is not None:
            held[PREFIX + node.name] = module
            copies[node] = graph.call_module(PREFIX + node.name, (copies[as_node(node.args[0])],))
            continue
        copies[node] = graph.node_copy(node, lambda read: copies[read])
        if node.op == "get_attr":
            held[str(node.target)] = own(attribute(program, node))
    (answer,) = node.all_input_nodes
    last = features_of(answer)
    features = {LAST: copies[last]} if last else {}
    for name, stage in find_stages(program).items():
        features[name] = graph.call_function(aten.select.int, (copies[stage], 1, 0))
    graph.output((copies[answer], features))
    for node in reversed(graph.nodes):
        if node.op == "get_attr" and not node.users:  # codes: their layers hold float weights
            graph.erase_node(node)
    return GraphModule(held, graph)


def own(value: Any) -> Any:
    """A parameter of its own, with the same values; anything else as it is, as it does not learn."""
    return nn.Parameter(value.detach().clone(), value.is_floating_point()) if isinstance(value, nn.Parameter) else value
