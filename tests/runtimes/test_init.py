from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitc.export import TARGETS
from vitc.export.options import Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.runtimes import RUNTIMES, Runtime
from vitc.runtimes.batching import answers


def test_rows_are_listed_under_their_names() -> None:
    assert all(runtime.name == name for name, runtime in RUNTIMES.items())


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_a_session_keeps_the_contract(runtime: Runtime, tmp_path: Path) -> None:
    if problem := runtime.missing():
        pytest.skip(problem)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).eval()
    backbone = Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")
    target = next(target for target in TARGETS.values() if runtime.name in target.runtimes)
    path = target.write(backbone, tmp_path, Options()).path
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 4), dtype=np.float32)
    with runtime.open(path, 1) as session:
        batch = session.input_shape[0] or 2
        assert batch in {1, 2}
        assert session.input_shape[1:] == (3, 4, 4)
        assert session.metadata["vitc.name"] == "tiny"
        logits = answers(session, images)
    with torch.no_grad():
        wanted = module(torch.from_numpy(images)).numpy()
    tolerance = 1e-5 if target.exact_floats else 1e-2
    np.testing.assert_allclose(logits, wanted, rtol=tolerance, atol=tolerance)
    assert runtime.executed is None or runtime.executed(path, images[:batch])
    assert runtime.promised(path) == {}
