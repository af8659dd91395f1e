"""record.json has exactly the names that scripts depend on."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vitc.errors import UserError
from vitc.reports.page import Run, page
from vitc.reports.record import Record, from_json, to_json
from vitc.reports.table import markdown

SHA = "ab" * 32


@pytest.fixture
def facts() -> dict[str, Any]:
    """The example of the documentation, every optional part present."""
    parity = {"max_abs": 0.01, "cosine": 0.9999, "top1_agree": 1.0, "images": 64}
    fallback = {"layer": "head", "reason": "no int8 kernel"}
    audit = {"int8_macs_pct": 85.1, "promised_pct": 100.0, "fallbacks": [fallback]}
    return {
        "schema": 1,
        "vitc": "0.1.0",
        "command": "vitc compress demo",
        "seed": 0,
        "started": "2025-01-01T00:00:00Z",
        "recipe": {"model": "demo", "ptq": "int8"},
        "machine": {"cpu": "c", "cores": 2, "isa": ["avx2"], "os": "Linux", "packages": {"torch": "2.10"}},
        "model": {"name": "demo", "weights_sha256": SHA, "input": [3, 64, 64]},
        "data": {"source": "demo", "sha256": SHA, "images": 1300},
        "calibration": {"source": "demo", "sha256": SHA, "images": 128},
        "stages": [
            {
                "name": "quantize",
                "seconds": 3.1,
                "peak_rss_mb": 900.0,
                "params": 5717416,
                "macs": 1258000000,
                "top1": 81.3,
                "images": 1300,
            }
        ],
        "artifacts": [
            {
                "name": "int8/onnx",
                "format": "onnx",
                "precision": "int8",
                "path": "onnx/model.onnx",
                "bytes": 6000000,
                "sha256": SHA,
                "parity": parity,
                "audit": audit,
            }
        ],
        "measurements": [
            {
                "artifact": "int8/onnx",
                "runtime": "onnxruntime",
                "threads": 1,
                "batch": 1,
                "latency_ms": {"p50": 7.1, "p90": 7.5, "p99": 8.8, "mean": 7.2, "samples": 400},
                "speedup": {"vs": "fp32/onnx", "ratio": 2.0, "ci95": [1.95, 2.05]},
                "peak_rss_mb": 120.0,
                "energy_mj": {"value": None, "source": "not measured"},
                "top1": 81.2,
                "top5": 94.1,
                "images": 1300,
            }
        ],
    }


def read(facts: dict[str, Any]) -> Record:
    return from_json(json.dumps(facts), "record.json")


def test_the_documented_record_survives_with_its_names_and_order(facts: dict[str, Any]) -> None:
    text = to_json(read(facts))
    assert json.loads(text) == facts
    assert list(json.loads(text)) == list(facts)
    assert text.endswith("}\n")


def test_writing_what_was_read_gives_the_same_bytes(facts: dict[str, Any]) -> None:
    text = to_json(read(facts))
    assert to_json(from_json(text, "record.json")) == text


def test_every_committed_record_loads_and_is_shown(checkout: Path) -> None:
    files = sorted((checkout / "reports" / "results").glob("*/record.json"))
    assert files
    for file in files:
        record = from_json(file.read_text("utf-8"), str(file))
        assert markdown(record)
        assert page([Run(file.parent.name, record)])


def test_the_first_records_of_schema_1_load(facts: dict[str, Any]) -> None:
    """The example above has no key that came later; those that did are left out where nothing is known."""
    record = read(facts)
    assert record.machine.peaks == ()
    assert record.model.preprocessing_sha256 == record.artifacts[0].simulation == ""
    late = {"peaks", "preprocessing_sha256", "simulation", "macs_pct", "note", "choices", "layers", "recovery"}
    assert not late & set(re.findall(r'"(\w+)":', to_json(record)))


def test_what_was_not_measured_is_null(facts: dict[str, Any]) -> None:
    for key in ("latency_ms", "speedup", "peak_rss_mb", "top1", "top5"):
        facts["measurements"][0][key] = None
    facts["artifacts"][0].update(parity=None, audit=None)
    facts["stages"][0].update(top1=None, peak_rss_mb=None)
    facts.update(data=None, calibration=None)
    record = read(facts)
    assert record.measurements[0].latency_ms is None
    assert record.artifacts[0].audit is None
    assert json.loads(to_json(record)) == facts


def test_an_error_names_file_and_place(facts: dict[str, Any]) -> None:
    facts["artifacts"][0]["audit"]["x"] = 1
    message = r'^run/record\.json: artifacts\[0\]\.audit: unknown key "x"; allowed: int8_macs_pct, '
    with pytest.raises(UserError, match=message):
        from_json(json.dumps(facts), "run/record.json")


@pytest.mark.parametrize("key", ["schema", "seed", "artifacts", "calibration"])
def test_every_key_must_be_there(facts: dict[str, Any], key: str) -> None:
    del facts[key]
    with pytest.raises(UserError, match=f'^record.json: key "{key}" is missing$'):
        read(facts)


@pytest.mark.parametrize("schema", [2, "1", None])
def test_another_schema_is_refused_before_its_keys_are(facts: dict[str, Any], schema: object) -> None:
    with pytest.raises(UserError, match=r"^record\.json: schema: .*schema 1 only"):
        read({"schema": schema})


def test_a_truncated_record_is_refused(facts: dict[str, Any]) -> None:
    text = to_json(read(facts))
    for end in (0, 1, len(text) // 2, len(text) - 3):
        with pytest.raises(UserError, match=r"^record\.json: not a whole JSON text"):
            from_json(text[:end], "record.json")


def test_names_are_unique_and_known(facts: dict[str, Any]) -> None:
    facts["measurements"][0]["artifact"] = "int4/onnx"
    with pytest.raises(UserError, match=r'measurements\[0\]\.artifact: no artifact is named "int4/onnx"'):
        read(facts)
    facts["artifacts"] *= 2
    with pytest.raises(UserError, match=r'artifacts\[1\]\.name: "int8/onnx" stands twice'):
        read(facts)
