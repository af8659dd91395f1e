import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vitc.errors import UserError
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import export_program, trace

SAVE = """
import sys
from pathlib import Path
import torch
from torch import nn
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing

class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = images.flatten(1)
        return self.head(self.norm(tokens) + tokens)

torch.manual_seed(0)
saved.save(Backbone("tiny", Model().eval(), Preprocessing((3, 2, 2)), 2, (), ""), Path(sys.argv[1]))
"""


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    return Backbone(
        "tiny", module, Preprocessing((3, 8, 8), 1.0), 2, ("cat", "dog"), "abc", "int8", form=("merge 8", "drop 2")
    )


def test_it_comes_back_whole(backbone: Backbone, tmp_path: Path) -> None:
    saved.save(backbone, tmp_path / "m.pt2")
    back = saved.load(tmp_path / "m.pt2")
    assert (back.name, back.preprocessing, back.outputs) == ("tiny", backbone.preprocessing, 2)
    assert (back.classes, back.weights_sha256, back.precision) == (("cat", "dog"), "abc", "int8")
    assert (back.form, back.label) == (("merge 8", "drop 2"), "merge-drop-int8")
    for batch in (1, 5):
        images = torch.randn(batch, 3, 8, 8)
        assert torch.equal(back.module(images), backbone.module(images))


def test_it_can_be_traced_and_saved_again(backbone: Backbone, tmp_path: Path) -> None:
    saved.save(backbone, tmp_path / "m.pt2")
    back = saved.load(tmp_path / "m.pt2")
    saved.save(back, tmp_path / "again.pt2")
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(saved.load(tmp_path / "again.pt2").module(images), backbone.module(images))


def test_two_processes_write_the_same_bytes_without_their_paths(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    files = [tmp_path / "a" / "m.pt2", tmp_path / "b" / "other.pt2"]
    for seed, file in enumerate(files):
        file.parent.mkdir()
        subprocess.run(
            [sys.executable, "-c", SAVE, file],
            cwd=file.parent,
            env=environment | {"PYTHONHASHSEED": str(seed)},
            check=True,
        )
    content = files[0].read_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(files[1].read_bytes()).digest()
    for path in ("site-packages", str(tmp_path), str(Path(saved.__file__).parent), "models/saved"):
        assert path.encode() not in content


def test_tensors_that_a_technique_replaced_are_left_out(backbone: Backbone, tmp_path: Path) -> None:
    program = trace(backbone.module, (3, 8, 8))
    program.register_buffer("leftover", torch.full((1000,), 3.0))
    saved.save(Backbone("tiny", program, backbone.preprocessing, 2, (), ""), tmp_path / "m.pt2")
    assert "leftover" not in dict(saved.load(tmp_path / "m.pt2").module.named_buffers())


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_none_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(content)
    with pytest.raises(UserError, match="not a program saved by vitc") as caught:
        saved.load(tmp_path / "m.pt2")
    assert "\n" not in str(caught.value)


def test_a_program_saved_by_torch_alone_is_told(backbone: Backbone, tmp_path: Path) -> None:
    torch.export.save(export_program(backbone.module, (3, 8, 8)), tmp_path / "m.pt2")
    with pytest.raises(UserError, match="not a program saved by vitc"):
        saved.load(tmp_path / "m.pt2")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_file_is_told(backbone: Backbone, tmp_path: Path, part: float) -> None:
    path = tmp_path / "m.pt2"
    saved.save(backbone, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(UserError, match="not a program saved by vitc"):
        saved.load(path)


def test_a_missing_file_and_needless_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        saved.load(tmp_path / "absent.pt2")
    with pytest.raises(UserError, match="leave --weights out"):
        saved.load(tmp_path / "absent.pt2", tmp_path / "w.safetensors")
