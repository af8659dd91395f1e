"""What belongs together is found by names and settings."""

from dataclasses import replace

from vitc.reports.record import Record
from vitc.reports.related import alike, float_of, kind, macs, simulations


def test_the_float_model_is_the_one_on_the_same_target_measured_alike(record: Record) -> None:
    whole, int8 = record.measurements
    assert float_of(record, int8) is whole
    assert alike(whole, int8)
    for other in (replace(int8, batch=8), replace(int8, threads=2), replace(int8, runtime="openvino")):
        assert not alike(whole, other)
        assert float_of(record, other) is None


def test_a_simulation_is_a_stage(record: Record) -> None:
    stage = replace(record.stages[0], name="score int8 torch")
    found, artifact = replace(record, stages=(stage,)), record.artifacts[1]
    assert simulations(found, artifact) == [stage]
    assert macs(found, artifact) == stage.macs
    assert macs(record, artifact) is None
    assert simulations(found, replace(artifact, simulation="other")) == []


def test_kinds_are_told_by_the_place(record: Record) -> None:
    places = {"fp32/onnx/a": "float", "onnx/a": "final", "rivals/onnx/a": "rival", "steps/onnx/a": "step"}
    assert {place: kind(replace(record.artifacts[1], path=place)) for place in places} == places
