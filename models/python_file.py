"""A backbone from the user's own Python file: `path/to/file.py:factory`."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from ..errors import UserError
from . import overriding, timm_models
from .backbone import Backbone, Preprocessing
from .weights import RANDOM, fill, fingerprint, read

_MODULE = "_vitc_user_model"
"""Under which name the file is imported: no other module's."""

_RAISED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What Python code that does not work raises."""


def load(spec: str, weights: Path | None = None) -> Backbone:
    """The module that the factory returns when called without arguments, under seed 0.

    It may carry `preprocessing` (a dict of Preprocessing's fields) or timm's `pretrained_cfg`, and `classes`.
    """
    file, _, factory = spec.rpartition(":") if ":" in spec else (spec, "", "")
    path = Path(file)
    if not factory:
        raise UserError(f"{spec} names no factory: write {path}:FUNCTION, a function that returns the model")
    module = _call(path, factory).eval()
    sha256 = None
    if weights is not None and weights != RANDOM:
        read_weights = read(weights)
        fill(module, read_weights, weights, spec)
        sha256 = read_weights.sha256
    preprocessing = _preprocessing(module)
    outputs = _outputs(module, preprocessing, spec)
    classes = tuple(getattr(module, "classes", ()))
    if classes and len(classes) != outputs:
        raise UserError(f"{spec} names {len(classes)} classes but its model tells {outputs} apart: mend `classes`")
    name = f"{path.name}:{factory}"
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    return Backbone(name, module, preprocessing, outputs, classes, sha256 or fingerprint(module), source_sha256=source)


def _call(path: Path, factory: str) -> nn.Module:
    if not path.is_file():
        raise UserError(f"no file {path}: give path/to/file.py:factory")
    try:
        function = getattr(_imported(path), factory, None)
    except _RAISED as failure:
        raise UserError(f"{path} cannot be imported: {_told(failure)}") from failure
    if not callable(function):
        raise UserError(f"{path} has no function {factory!r}: name one that returns the model")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = function()
    except _RAISED as failure:
        raise UserError(f"{path}:{factory} failed when called without arguments: {_told(failure)}") from failure
    if not isinstance(module, nn.Module):
        raise UserError(f"{path}:{factory} returned {type(module).__name__}: it must return a torch.nn.Module")
    return module


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _preprocessing(module: nn.Module) -> Preprocessing:
    own = getattr(module, "preprocessing", None)
    if isinstance(own, dict):
        return overriding.apply(Preprocessing(), own)
    if isinstance(getattr(module, "pretrained_cfg", None), dict):
        return timm_models.preprocessing(module)
    return Preprocessing()


def _outputs(module: nn.Module, preprocessing: Preprocessing, spec: str) -> int:
    """The number of classes, seen by running the model once."""
    try:
        with torch.no_grad():
            logits = module(torch.zeros(1, *preprocessing.input_size))
    except _RAISED as failure:
        size = "x".join(map(str, preprocessing.input_size))
        raise UserError(f"{spec} fails on an image of {size}: {_told(failure)}; set `preprocessing`") from failure
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise UserError(f"{spec} must return one tensor [images, classes]")
    return logits.shape[1]


def _told(failure: BaseException) -> str:
    first = str(failure).strip().partition("\n")[0]
    return f"{type(failure).__name__}: {first}" if first else type(failure).__name__
