"""The best artifact for a target is the fastest of those that are as right as the one asked for."""

import pytest

from vitc.choices import choose
from vitc.reports.record import Choice, Energy, Latency, Measurement


def measured(artifact: str, p50: float | None, top1: float | None = 80.0, runtime: str = "openvino") -> Measurement:
    latency = Latency(p50, p50, p50, p50, 100) if p50 else None
    return Measurement(artifact, runtime, 1, 1, latency, None, None, Energy(None), top1, top1, 1000)


def best(*measurements: Measurement, asked: str = "int8/openvino") -> str:
    (choice,) = choose(measurements, [asked])
    return choice.artifact


def test_the_one_asked_for_is_best_where_it_is_fastest() -> None:
    assert best(measured("fp32/openvino", 10), measured("int8/openvino", 5)) == "int8/openvino"


def test_a_faster_float_artifact_is_named() -> None:
    (choice,) = choose([measured("fp32/openvino", 4), measured("int8/openvino", 5)], ["int8/openvino"])
    assert choice == Choice("openvino", "fp32/openvino", "1.25 times as fast as int8/openvino, and as right")


def test_another_tools_artifact_is_named_where_it_is_as_right() -> None:
    ours, theirs = measured("int8/openvino", 5), measured("int8-nncf/openvino", 4)
    assert best(ours, theirs) == "int8-nncf/openvino"
    assert best(ours, measured("int8-nncf/openvino", 4, top1=79.5)) == "int8/openvino"


def test_noise_is_no_reason() -> None:
    assert best(measured("fp32/openvino", 4.9), measured("int8/openvino", 5)) == "int8/openvino"


def test_other_targets_and_engines_say_nothing() -> None:
    others = measured("int8/onnx", 1), measured("fp32/openvino", 1, runtime="other")
    assert best(measured("int8/openvino", 5), *others) == "int8/openvino"


@pytest.mark.parametrize("top1", [None, 80.0])
def test_without_scores_speed_alone_decides(top1: float | None) -> None:
    (choice,) = choose(
        [measured("fp32/openvino", 4, top1=top1), measured("int8/openvino", 5, top1=None)], ["int8/openvino"]
    )
    assert choice.artifact == "fp32/openvino"
    assert choice.why.endswith("accuracy was not measured")


def test_what_was_not_timed_is_not_chosen() -> None:
    assert choose([measured("int8/coreml", None)], ["int8/coreml"]) == ()
