"""Attention of one bit learns first, while layers of signs outside it wait."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch.fx import GraphModule, Node

from vitc.compress.graph import as_node
from vitc.compress.quantize import Quantize
from vitc.compress.recover import training
from vitc.compress.recover.checkpoint import State
from vitc.compress.recover.duration import parse
from vitc.compress.recover.in_turn import of_attention, waiting, waits
from vitc.compress.recover.student import Student
from vitc.compress.recover.training import How, Lesson, Training
from vitc.compress.recover.views import Views
from vitc.layers import layer_of
from vitc.models.backbone import Backbone
from vitc.models.indexed import Held

IMAGES = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
HOW = How(batch=8, views=1, attention_first=0.5)


@pytest.fixture(scope="module")
def backbone(small_vit: Callable[..., Backbone]) -> Backbone:
    return small_vit(depth=1)


@pytest.fixture(scope="module")
def binary(backbone: Backbone) -> Backbone:
    return Quantize(1, binary_attention=True, equalize=()).apply(backbone, [IMAGES[:8]])


def names(layers: Iterable[Node]) -> set[str]:
    return {layer_of(str(as_node(node.args[1]).target)) for node in layers}


def test_what_waits_are_signs_outside_attention(binary: Backbone) -> None:
    program = Student(binary)._program[0]
    assert names(of_attention(program)) == {"blocks.0.attn.qkv", "blocks.0.attn.proj"}
    assert names(waiting(program)) == {"blocks.0.mlp.fc1", "blocks.0.mlp.fc2"}


@pytest.mark.parametrize("how", [Quantize(1, equalize=()), Quantize(8, binary_attention=True, equalize=())])
def test_nothing_waits_without_both(how: Quantize, backbone: Backbone) -> None:
    made = how.apply(backbone, [IMAGES[:8]]).module
    assert isinstance(made, GraphModule)
    assert waiting(made) == []


def test_it_is_attentions_turn_for_a_share_of_the_steps() -> None:
    assert [waits(step, 10, 0.25) for step in range(4)] == [True, True, False, False]
    assert not waits(0, 10, 0.0)


def test_what_waits_gives_what_its_floats_give(binary: Backbone) -> None:
    student = Student(binary)
    with torch.no_grad():
        wanted, _ = student(IMAGES)
        for layer in student._late:
            next(layer.parameters()).mul_(1.5)  # of the same signs
        with student.turn(of_attention=True):
            alone, _ = student(IMAGES)
        again, _ = student(IMAGES)
    assert torch.equal(again, wanted)
    assert not torch.allclose(alone, wanted)


def lesson(backbone: Backbone, folder: Path | None = None) -> Lesson:
    views = Views(Held(IMAGES), backbone.preprocessing, 0)
    return Lesson(Student(backbone), views, parse("12steps"), None, folder)


def test_the_turns_come_in_order_and_what_is_looked_at_is_all_rounded(
    backbone: Backbone, binary: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKS", 2)
    student = Student(binary)
    (late, *_) = student._late
    seen: list[tuple[bool, bool]] = []
    late.register_forward_hook(lambda *_: seen.append((torch.is_grad_enabled(), late.waits)))
    Training(student, lesson(backbone), HOW).run(lambda _: None)
    assert [waiting for learning, waiting in seen if learning] == [True] * 6 + [False] * 6
    assert not any(waiting for learning, waiting in seen if not learning)


@pytest.mark.parametrize("after", [4, 9])
def test_stopped_in_either_turn_it_ends_as_if_it_had_not_been(
    after: int, backbone: Backbone, binary: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKS", 6)
    told: list[int] = []

    def stop(percent: int) -> None:
        told.append(percent)
        if len(told) == after:
            raise KeyboardInterrupt

    whole, resumed = Student(binary), Student(binary)
    Training(whole, lesson(backbone), HOW).run(lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        Training(Student(binary), lesson(backbone, tmp_path), HOW).run(stop)
    kept = State.load(tmp_path)
    assert kept is not None
    assert 0 < kept.step < 12
    Training(resumed, lesson(backbone, tmp_path), HOW).run(lambda _: None)
    assert all(torch.equal(one, resumed.learned()[name]) for name, one in whole.learned().items())
