"""What the targets' rules look at is true of the backbone."""

import pytest
import torch
from torch import nn

from vitc.export.options import DEFAULTS
from vitc.export.preflight import Finding, subject
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
