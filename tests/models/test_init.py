import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitc import models
from vitc.errors import UserError


def test_importing_models_leaves_torch_alone() -> None:
    paths = os.pathsep.join(filter(None, sys.path))
    code = "import sys, vitc.models; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("nothing.py:make", "no file nothing.py"),
        ("nothing.py", "names no factory"),
        ("nothing.pt2", "cannot read nothing.pt2"),
        ("nothing_at_all", "unknown model"),
        ("", "unknown model"),
    ],
)
def test_a_spec_finds_its_source(spec: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=complaint):
        models.load(spec)


def test_overrides_reach_the_backbone() -> None:
    backbone = models.load("demo", Path("random"), {"crop_pct": 0.5})
    assert backbone.preprocessing.crop_pct == 0.5
    assert backbone.preprocessing.mean == (0.5, 0.5, 0.5)


def test_names_match_a_pattern() -> None:
    assert models.names("demo") == ["demo"]
    assert "deit_tiny_patch16_224" in models.names("deit_*")
    assert models.names("no such*") == []
