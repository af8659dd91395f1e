from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vitc.errors import UserError
from vitc.models import python_file

SOURCE = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class Sizes:
    side: int = 8

def make():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * Sizes().side ** 2, 2))
    module.preprocessing = {"input_size": [3, 8, 8], "crop_pct": 1.0}
    module.classes = ["cat", "dog"]
    return module

def timm_like():
    module = make()
    del module.preprocessing
    module.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.1, 0.1, 0.1)}
    return module

def miscounted():
    module = make()
    module.classes = ["cat"]
    return module

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))

def of_something_else():
    return 3

def failing():
    raise ValueError("first line\\nsecond line")

def of_a_list():
    module = make()
    module.append(nn.Unflatten(1, (2, 1)))
    return module

value = 7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def test_the_module_brings_its_preprocessing_and_classes(file: Path) -> None:
    backbone = python_file.load(f"{file}:make")
    assert backbone.name == "mine.py:make"
    assert backbone.preprocessing.input_size == (3, 8, 8)
    assert backbone.preprocessing.crop_pct == 1.0
    assert backbone.classes == ("cat", "dog")
    assert backbone.outputs == 2
    assert not backbone.module.training


def test_a_configuration_as_timm_writes_it_is_understood(file: Path) -> None:
    assert python_file.load(f"{file}:timm_like").preprocessing.mean == (0.1, 0.1, 0.1)


def test_weights_are_loaded(file: Path, tmp_path: Path) -> None:
    tensors = {"1.weight": torch.ones(2, 192), "1.bias": torch.tensor([1.0, 2.0])}
    save_file(tensors, tmp_path / "w.safetensors")
    backbone = python_file.load(f"{file}:make", tmp_path / "w.safetensors")
    assert backbone.module(torch.zeros(1, 3, 8, 8)).tolist() == [[1.0, 2.0]]


def test_weights_must_fit(file: Path, tmp_path: Path) -> None:
    save_file({"1.weight": torch.ones(2, 192)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"1 missing \(first: 1.bias\)"):
        python_file.load(f"{file}:make", tmp_path / "w.safetensors")


def test_its_own_random_weights_are_the_same_each_time(file: Path) -> None:
    assert len({python_file.load(f"{file}:make").weights_sha256 for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("factory", "complaint"),
    [
        ("", "names no factory"),
        ("absent", "no function 'absent'"),
        ("value", "no function 'value'"),
        ("of_something_else", "returned int"),
        ("failing", "ValueError: first line"),
        ("plain", "fails on an image of 3x224x224"),
        ("miscounted", "1 classes but its model tells 2 apart"),
        ("of_a_list", "must return one tensor"),
    ],
)
def test_a_factory_that_does_not_work_is_told(file: Path, factory: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        python_file.load(f"{file}:{factory}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["import no_such_module", "def broken(:", "raise KeyError('key')"])
def test_a_file_that_cannot_be_imported_is_told(tmp_path: Path, source: str) -> None:
    (tmp_path / "bad.py").write_text(source)
    with pytest.raises(UserError, match="cannot be imported"):
        python_file.load(f"{tmp_path}/bad.py:make")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        python_file.load(f"{tmp_path}/absent.py:make")
