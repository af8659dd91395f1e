"""A gate's findings as JUnit XML, which every build server shows."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from .gate import Finding, Verdict
from .table import clean


def xml(findings: Sequence[Finding], *, allow_inconclusive: bool) -> str:
    """One test case a finding; what is undecided fails, or is skipped where that is allowed."""
    undecided = "skipped" if allow_inconclusive else "failure"
    outcomes = {
        Verdict.PASS: None,
        Verdict.FAIL: "failure",
        Verdict.INCONCLUSIVE: undecided,
        Verdict.UNCHECKED: "skipped",
    }
    told = [outcomes[finding.verdict] for finding in findings]
    counts = {"tests": len(findings), "failures": told.count("failure"), "skipped": told.count("skipped")}
    suite = ET.Element("testsuite", {"name": "vitc compare", **{k: str(v) for k, v in counts.items()}})
    for finding, outcome in zip(findings, told, strict=True):
        case = ET.SubElement(suite, "testcase", {"classname": clean(finding.pair), "name": finding.what})
        reason = f"{finding.verdict}: {clean(finding.reason)}"
        if outcome is None:
            ET.SubElement(case, "system-out").text = reason
        else:
            ET.SubElement(case, outcome, {"message": reason})
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
