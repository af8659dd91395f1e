import subprocess
import sys


def test_timm_imports_and_its_operators_are_declared_once() -> None:
    code = (
        "from vitc.models.timm_ready import timm; import torch, torchvision;"
        "torch.ops.torchvision.nms; torch.ops.torchvision.qnms; print(timm.is_model('deit_tiny_patch16_224'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr
