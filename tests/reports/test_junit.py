"""The file is read back as a build server does."""

from xml.etree import ElementTree as ET

import pytest

from vitc.reports.gate import Finding, Verdict
from vitc.reports.junit import xml

FINDINGS = [
    Finding("<script>&\x07", "accuracy", Verdict.PASS, "fine"),
    Finding("int8/onnx", "time", Verdict.FAIL, "1.2 > 1.05"),
    Finding("int8/onnx", "size", Verdict.INCONCLUSIVE, "not measured"),
    Finding("int8/onnx", "plausibility", Verdict.UNCHECKED, "no peak"),
]


@pytest.mark.parametrize(("allowed", "failures", "skipped"), [(False, "2", "1"), (True, "1", "2")])
def test_every_finding_is_a_case(allowed: bool, failures: str, skipped: str) -> None:  # noqa: FBT001  (a parameter of the test)
    suite = ET.fromstring(xml(FINDINGS, allow_inconclusive=allowed))  # noqa: S314  (made above)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", failures, skipped)
    first, second, third, fourth = suite
    assert first.get("classname") == "<script>&\N{REPLACEMENT CHARACTER}"
    assert [child.tag for child in first] == ["system-out"]
    assert [child.get("message") for child in second] == ["fail: 1.2 > 1.05"]
    assert [child.tag for child in third] == ["skipped" if allowed else "failure"]
    assert [child.tag for child in fourth] == ["skipped"]
