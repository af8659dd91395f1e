"""A process that serves loads the engine and nothing heavy besides."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vitc.errors import UserError
from vitc.export import TARGETS
from vitc.export.options import Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.runtimes import RUNTIMES
from vitc.runtimes.serving import serve


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_serving_needs_no_torch(target: str, batch: int | None, tmp_path: Path) -> None:
    runtime = TARGETS[target].runtimes[0]
    if problem := RUNTIMES[runtime].missing():
        pytest.skip(problem)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).eval()
    backbone = Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")
    path = TARGETS[target].write(backbone, tmp_path, Options(batch=batch)).path
    code = (
        "import sys; sys.modules['torch'] = None\n"  # importing it fails
        "from vitc.runtimes.serving import serve\n"
        f"serve({runtime!r}, {str(path)!r}, 1, 2)\n"
        "print(*(name for name, module in sys.modules.items() if module))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert loaded & {runtime, "torch", "timm", "onnx", "vitc.models", "vitc.export"} == {runtime}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "coreml-reference"])
def test_a_missing_file_is_the_users_to_mend(runtime: str, tmp_path: Path) -> None:
    if problem := RUNTIMES[runtime].missing():
        pytest.skip(problem)
    with pytest.raises(UserError):
        serve(runtime, str(tmp_path / "missing"), 1, 1)
