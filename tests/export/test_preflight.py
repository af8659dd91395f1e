"""What the targets' rules look at is true of the backbone."""

import pytest
import torch
from torch import nn

from vitc.errors import UserError
from vitc.export.options import DEFAULTS
from vitc.export.preflight import Finding, refusal, subject
from vitc.models.backbone import Backbone, Preprocessing


class Split(nn.Module):
    """Has an operator with two results, one of them large."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small, large = (x * torch.tensor([1.0, 1e6])).split(1, dim=-1)
        return torch.flatten(small + large, 1)


def test_peaks_are_the_largest_magnitudes_of_every_value() -> None:
    backbone = Backbone("split", Split().eval(), Preprocessing((3, 4, 2)), 12, (), "abc")
    images = torch.full((2, 3, 4, 2), -2.0)
    found = subject(backbone, 8, DEFAULTS, images)
    assert found.peaks["x"] == 2
    assert found.peaks["split"] == pytest.approx(2e6)
    assert found.weight_bits == 8
    names = {node.name for node in found.program.graph.nodes if node.op != "output"}
    assert set(found.peaks) <= {*names, "output"}
    assert all("val" in node.meta for node in found.program.graph.nodes if node.op == "call_function")


def test_a_finding_is_one_line_with_its_mend() -> None:
    finding = Finding("opset", "graph", "opset 11", "export with opset 17", fatal=True)
    assert str(finding) == "opset: graph: opset 11; export with opset 17"


def test_a_failed_trial_is_a_fatal_finding_with_its_mend() -> None:
    failure = UserError("tiny cannot become ONNX: there are kth values; or so; replace it in the model")
    found = refusal("onnx", "tiny", failure)
    assert (found.rule, found.where, found.fatal) == ("onnx", "tiny", True)
    assert found.what == "tiny cannot become ONNX: there are kth values; or so"
    assert found.mend == "replace it in the model"


def test_a_failure_that_names_no_mend_is_told_whole() -> None:
    found = refusal("onnx", "tiny", UserError("torch.export cannot trace this model: sorry"))
    assert found.what == "torch.export cannot trace this model: sorry"
    assert "another target" in found.mend
