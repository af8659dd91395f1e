from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vitc.errors import VerificationFailed
from vitc.runtimes import mil_package as reader
from vitc.runtimes import mil_plan
from vitc.runtimes.mil_plan import Plan

coremltools = pytest.importorskip("coremltools")
mb = pytest.importorskip("coremltools.converters.mil").Builder

TABLE = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float16)
CODES = np.random.default_rng(0).integers(-127, 128, (5, 4)).astype(np.int8)

Save = Callable[..., Path]


def load(path: Path) -> Plan:
    package = reader.open_package(path)
    return Plan(reader.main_function(package), package.output)


def unfolded() -> Any:
    return mb.constexpr_affine_dequantize(quantized_data=CODES, zero_point=np.int8(0), scale=np.float16(0.1), axis=0)


def test_every_result_is_rounded_to_the_type_of_the_file(interpret: Callable[..., Tensor]) -> None:
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).half()
    found = interpret(lambda x: mb.linear(x=mb.mul(x=x, y=np.float16(0.3)), weight=TABLE), x)
    rounded = (x.float() * float(np.float16(0.3))).half().float()
    table = torch.from_numpy(TABLE.astype(np.float32))
    assert torch.equal(found, (rounded @ table.T).half().float())
    assert not torch.equal(found, (x.float() * 0.3) @ table.T)


def test_sums_inside_an_operator_keep_32_bits(interpret: Callable[..., Tensor]) -> None:
    x = torch.ones(1, 4096, dtype=torch.float16)
    assert interpret(lambda x: mb.reduce_sum(x=x, axes=[1]), x).item() == 4096  # sums in fp16 stop at 2048


def test_what_is_too_large_for_fp16_is_infinite(interpret: Callable[..., Tensor]) -> None:
    x = torch.tensor([300.0, 2.0]).half()
    assert interpret(lambda x: mb.square(x=x), x).tolist() == [np.inf, 4.0]
    assert interpret(lambda x: mb.square(x=x), x.float()).tolist() == [90000.0, 4.0]


def test_what_depends_on_no_image_is_computed_once(mil_package: Save) -> None:
    plan = load(mil_package(lambda x: mb.linear(x=x, weight=unfolded()), (2, 4), "fp16"))
    assert [step.operator for step in plan.steps] == ["linear"]
    assert not any(torch.is_tensor(value) and value.dtype == torch.int8 for value in plan.constants.values())


def test_values_are_dropped_when_nobody_needs_them(mil_package: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(x: Any) -> Any:
        for _ in range(9):
            x = mb.add(x=mb.relu(x=x), y=x)
        return x

    plan = load(mil_package(build, (2, 4)))
    held: list[int] = []
    execute = mil_plan._execute

    def counted(step: mil_plan.Step, values: dict[int, Any]) -> None:
        held.append(len(values))
        execute(step, values)

    monkeypatch.setattr(mil_plan, "_execute", counted)
    plan.run(torch.ones(2, 4))
    assert max(held) - len(plan.constants) <= 3


def test_running_twice_gives_the_same(mil_package: Save) -> None:
    plan = load(mil_package(lambda x: mb.add(x=mb.linear(x=x, weight=unfolded()), y=np.float16(1)), (2, 4), "fp16"))
    x = torch.ones(2, 4)
    assert torch.equal(plan.run(x), plan.run(x))


def test_every_operator_that_is_not_known_is_named_with_its_layer(mil_package: Save) -> None:
    def build(x: Any) -> Any:
        windows = mb.sliding_windows(x=mb.reverse_sequence(x=x, lengths=[1, 1], name="turned"), axis=1, size=2)
        return mb.sliding_windows(x=windows, axis=1, size=2, name="second")

    with pytest.raises(VerificationFailed) as told:
        load(mil_package(build, (2, 4)))
    message = str(told.value)
    assert "reverse_sequence (first in layer turned), sliding_windows (first in layer" in message
    assert "second" not in message
    assert "\n" not in message


def test_a_form_that_is_not_known_is_named_with_its_layer(mil_package: Save) -> None:
    plan = load(mil_package(lambda x: mb.gather(x=x, indices=[[1], [0]], axis=1, batch_dims=1, name="pick"), (2, 4)))
    with pytest.raises(VerificationFailed, match="batch_dims of the operator gather in layer pick"):
        plan.run(torch.ones(2, 4))


def test_what_torch_cannot_compute_is_named_with_its_layer(mil_package: Save) -> None:
    plan = load(mil_package(lambda x: mb.linear(x=x, weight=TABLE.astype(np.float32), name="fc"), (2, 4)))
    with pytest.raises(VerificationFailed, match=r"layer fc: linear cannot be computed: .*shapes") as told:
        plan.run(torch.ones(2, 3))
    assert "\n" not in str(told.value)


def test_a_result_of_another_shape_than_the_file_says_is_refused(mil_package: Save) -> None:
    plan = load(mil_package(lambda x: mb.relu(x=x, name="act"), (2, 4)))
    with pytest.raises(VerificationFailed, match=r"layer act: relu gives \(3, 4\) where the program says \(2, 4\)"):
        plan.run(torch.ones(3, 4))


def test_naming_the_class_is_left_out(mil_package: Save) -> None:
    def build(x: Any) -> Any:
        logits = mb.square(x=x, name="logits")
        return logits, mb.softmax(x=logits, axis=-1, name="shares")

    naming = coremltools.ClassifierConfig(["cat", "dog"], predicted_probabilities_output="shares")
    path = mil_package(build, (1, 2), classifier_config=naming)
    function = reader.main_function(reader.open_package(path))
    assert "classify" in {op.op_type for op in function.operations}
    assert load(path).run(torch.tensor([[2.0, 3.0]])).tolist() == [[4.0, 9.0]]
