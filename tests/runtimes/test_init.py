from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitc.export import TARGETS
from vitc.models.backbone import Backbone, Preprocessing
from vitc.runtimes import RUNTIMES, Runtime


def test_rows_are_listed_under_their_names() -> None:
    assert all(runtime.name == name for name, runtime in RUNTIMES.items())


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_a_session_keeps_the_contract(runtime: Runtime, tmp_path: Path) -> None:
    pytest.importorskip(runtime.name)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).eval()
    backbone = Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")
    target = next(target for target in TARGETS.values() if target.runtime == runtime.name)
    path = target.write(backbone, tmp_path).path
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 4), dtype=np.float32)
    with runtime.open(path, 1) as session:
        assert session.input_shape == (None, 3, 4, 4)
        assert session.metadata["vitc.name"] == "tiny"
        logits = session.run(images)
    with torch.no_grad():
        np.testing.assert_allclose(logits, module(torch.from_numpy(images)).numpy(), rtol=1e-5, atol=1e-5)
    assert runtime.executed(path, images)
    assert runtime.promised(path) == {}
