"""Weights that a user hands in: safetensors or a torch checkpoint, of which only tensors are ever read."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import UserError

RANDOM = Path("random")
"""Given in place of a file: weights drawn from seed 0, for graphs whose answers do not matter."""

NESTINGS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Under which keys a training checkpoint keeps its weights; an average comes first, being what was scored."""

PREFIXES = ("module.", "_orig_mod.")
"""What wrappers for parallel training and compilation put before every name."""


@dataclass(frozen=True)
class Weights:
    """The tensors of a file (floats as float32), what it says of itself, and its hash."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str


def read(path: Path) -> Weights:
    """The weights of a safetensors, .pth, .pt or .bin file, told apart by their first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as failure:
        raise UserError(f"cannot read the weights {path}: {failure.strerror}; give --weights FILE") from failure
    metadata: dict[str, str] = {}
    if head[8:] == b"{":
        tensors, metadata = _read_safetensors(path)
    elif head.startswith((b"PK", b"\x80")):
        tensors = _read_checkpoint(path)
    else:
        raise UserError(f"{path} holds no weights: give a whole .safetensors, .pth, .pt or .bin file")
    return Weights({k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}, metadata, digest)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as failure:
        raise UserError(f"{path} is damaged or cut short ({failure}): download or copy it again") from failure


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(), path.open("rb") as file:  # by its content: torch goes by the name of a path
            warnings.simplefilter("ignore")  # about pickles that it refuses in the next line anyway
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as failure:
        raise UserError(
            f"{path} holds more than tensors, or is damaged: only tensors are read from it; convert it to safetensors"
        ) from failure
    except (RuntimeError, EOFError, ValueError, LookupError) as failure:
        raise UserError(
            f"{path} is no torch checkpoint, or damaged: copy it again or convert it to safetensors"
        ) from failure
    for key in NESTINGS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise UserError(
            f"{path} holds no table of named tensors, also not under {', '.join(NESTINGS)}: save a state_dict"
        )
    tensors = {str(name): tensor for name, tensor in content.items()}
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def mismatch(module: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """How `tensors` differ from what `module` expects, in a few words; none where they fit."""
    expected = module.state_dict()
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    named = [
        f"{len(names)} {word} (first: {names[0]})"
        for word, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if named:
        return ", ".join(named)
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            return f"{name} is {_shape(tensors[name])}, expected {_shape(tensor)}"
    return None


def fill(module: nn.Module, weights: Weights, path: Path, name: str) -> None:
    """Load all of `weights` into all of `module`, or say what does not fit."""
    if wrong := mismatch(module, weights.tensors):
        raise UserError(f"{path} does not fit {name}: {wrong}; give the weights of this very model")
    module.load_state_dict(weights.tensors)


def fingerprint(module: nn.Module) -> str:
    """A hash of the names, shapes and bytes of a module's state, for weights that came from no file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
