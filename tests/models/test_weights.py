import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vitc.errors import UserError
from vitc.models import weights

TENSORS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


Writer = Callable[[Path], object]


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("pwned",)


def same(tensors: dict[str, torch.Tensor]) -> bool:
    return set(tensors) == set(TENSORS) and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_safetensors_are_read_with_metadata_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(TENSORS, path, metadata={"timm": "some"})
    read = weights.read(path)
    assert same(read.tensors)
    assert read.metadata == {"timm": "some"}
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_half_precision_becomes_float_and_integers_stay(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2).half(), "n": torch.tensor(3)}, tmp_path / "w.safetensors")
    read = weights.read(tmp_path / "w.safetensors")
    assert read.tensors["a"].dtype == torch.float32
    assert read.tensors["n"].dtype == torch.int64


@pytest.mark.parametrize(
    "content",
    [
        TENSORS,
        {"model": TENSORS, "epoch": 3},
        {"state_dict": {"module." + name: tensor for name, tensor in TENSORS.items()}},
        {"model": {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, "model_ema": TENSORS},
    ],
)
def test_checkpoints_are_unwrapped(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert same(weights.read(tmp_path / "w.pth").tensors)


def test_a_prefix_that_not_all_names_have_stays(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pth")
    assert set(weights.read(tmp_path / "w.pth").tensors) == {"module.a", "b"}


def test_a_truncated_safetensors_is_told(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged or cut short"):
        weights.read(path)


@pytest.mark.parametrize("write", [lambda path: torch.save({"a": Hostile()}, path), None])
def test_code_in_a_pickle_never_runs(write: Writer | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    if write:
        write(path)
    else:
        path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError, match=r"only tensors are read from it; convert it to safetensors"):
        weights.read(path)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no weights"),
        (b"hello, world, I am a text", "holds no weights"),
        (b"PK\x03\x04 no zip at all", "no torch checkpoint, or damaged"),
    ],
)
def test_a_file_that_is_neither_is_told(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        weights.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)]])
def test_a_checkpoint_without_named_tensors_is_told(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match="no table of named tensors"):
        weights.read(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_a_missing_file_or_a_folder_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the weights"):
        weights.read(tmp_path / name)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (TENSORS, None),
        ({"weight": TENSORS["weight"]}, "1 missing (first: bias)"),
        ({**TENSORS, "scale": torch.ones(1)}, "1 unexpected (first: scale)"),
        ({**TENSORS, "bias": torch.ones(5)}, "bias is 5, expected 2"),
    ],
)
def test_a_mismatch_names_the_first(tensors: dict[str, torch.Tensor], told: str | None) -> None:
    assert weights.mismatch(nn.Linear(3, 2), tensors) == told


def test_filling_is_all_or_nothing(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    before = weights.fingerprint(module)
    with pytest.raises(UserError, match="does not fit linear: 1 missing"):
        weights.fill(module, weights.Weights({"weight": TENSORS["weight"]}, {}, ""), tmp_path, "linear")
    assert weights.fingerprint(module) == before
    weights.fill(module, weights.Weights(TENSORS, {}, ""), tmp_path, "linear")
    assert same(module.state_dict())


def test_a_fingerprint_tells_weights_apart() -> None:
    module = nn.BatchNorm1d(2)
    before = weights.fingerprint(module)
    assert weights.fingerprint(nn.BatchNorm1d(2)) == before
    module.weight.data[0] = 2
    assert weights.fingerprint(module) != before
