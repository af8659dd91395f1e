"""Each step beside the one before it, each artifact beside its simulation; what nobody knows is a dash."""

from dataclasses import replace

import pytest

from vitc.reports.compared import DASH, DRIFT_COLUMNS, STEP_COLUMNS, drifts, steps, told
from vitc.reports.record import Record, Speedup, Stage


@pytest.fixture
def chain(record: Record) -> Record:
    """Float, merged, merged and rounded."""
    whole, last = record.measurements
    step = replace(record.artifacts[1], name="merge-fp32/onnx", path="merge-fp32/onnx/model.onnx", bytes=20_592_000)
    final = replace(record.artifacts[1], name="merge-int8/onnx", simulation="merge-int8 torch")
    merged = replace(last, artifact=step.name, top1=81.0, speedup=Speedup("fp32/onnx", 1.25, (1.2, 1.3)))
    rounded = replace(last, artifact=final.name, top1=80.5, speedup=Speedup("fp32/onnx", 2.0, (1.9, 2.1)))
    stages = [
        Stage(f"score {name} torch", 1, None, 1, macs, top1, 1300)
        for name, macs, top1 in (("fp32", 1000, 81.46), ("merge-fp32", 750, 81.0), ("merge-int8", 750, 80.0))
    ]
    return replace(
        record,
        artifacts=(record.artifacts[0], step, final),
        measurements=(whole, merged, rounded),
        stages=tuple(stages),
    )


def test_a_step_is_held_against_the_one_before(chain: Record) -> None:
    first, second = (dict(zip(STEP_COLUMNS, row, strict=True)) for row in steps(chain))
    assert first == {
        "engine": "onnxruntime",
        "from": "fp32/onnx",
        "to": "merge-fp32/onnx",
        "top-1 points": "-0.46",
        "times as fast": "1.25x",
        "times the size": "0.90x",
        "times the MACs": "0.75x",
    }
    assert (second["from"], second["times as fast"], second["times the MACs"]) == ("merge-fp32/onnx", "1.60x", "1.00x")


def test_steps_tell_what_they_did(chain: Record) -> None:
    assert told(chain) == []
    recovered = Stage("recover", 1, None, None, None, None, 0, ("divergence 0.2 -> 0.1", "80steps repeats it"))
    both = replace(chain, stages=(*chain.stages, recovered))
    assert told(both) == ["recover: divergence 0.2 -> 0.1", "recover: 80steps repeats it"]


def test_other_tools_are_no_steps(chain: Record) -> None:
    rival = replace(chain.artifacts[1], name="nncf/onnx", path="rivals/onnx/model.onnx")
    theirs = replace(chain.measurements[1], artifact=rival.name)
    both = replace(chain, artifacts=(*chain.artifacts, rival), measurements=(*chain.measurements, theirs))
    assert steps(both) == steps(chain)
    assert drifts(both) == drifts(chain)


def test_drift_is_the_engines_accuracy_less_the_simulations(chain: Record) -> None:
    rows = [dict(zip(DRIFT_COLUMNS, row, strict=True)) for row in drifts(chain)]
    assert [row["drift points"] for row in rows] == ["+0.00", "+0.00", "+0.50"]
    assert rows[2]["same class %"] == "98.4"
    assert rows[0]["cosine"] == DASH  # nobody verified it


def test_records_that_name_no_simulation_have_drift_where_only_one_can_be_meant(chain: Record) -> None:
    unnamed = replace(chain, artifacts=tuple(replace(one, simulation="") for one in chain.artifacts))
    assert drifts(unnamed) == drifts(chain)
    other = replace(chain.stages[2], name="score merge-int8 float-attention torch", top1=70.0)
    two = replace(unnamed, stages=(*chain.stages, other))
    assert drifts(two)[2][2] == drifts(two)[2][4] == DASH


def test_what_was_not_measured_is_a_dash(chain: Record) -> None:
    bare = tuple(replace(one, top1=None, speedup=None) for one in chain.measurements)
    for row in steps(replace(chain, measurements=bare, stages=())):
        assert (row[3], row[4], row[6]) == (DASH, DASH, DASH)
    assert drifts(replace(chain, measurements=bare)) == []
