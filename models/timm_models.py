"""Any model of timm: with weights from a file, timm's own pretrained ones, or random ones."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants
from torch import nn

from ..errors import NotAvailable, UserError
from . import overriding, timm_names, weights_card
from .backbone import Backbone, Preprocessing
from .timm_ready import timm
from .weights import RANDOM, Weights, fingerprint, mismatch, read


def load(spec: str, weights: Path | None = None) -> Backbone:
    """The timm model `spec`, strictly loaded."""
    _check_name(spec)
    if weights is not None and weights != RANDOM:
        return _from_file(spec, weights)
    module = _random(spec) if weights else _pretrained(spec)
    return _backbone(spec, module, weights_card.Card(None, {}, (), {}), fingerprint(module))


def _check_name(name: str) -> None:
    if not timm.is_model(name):
        raise UserError(f"unknown model {name!r}: the closest timm names are {', '.join(timm_names.closest(name))}")
    architecture, _, tag = name.partition(".")
    tags = [pretrained.partition(".")[2] for pretrained in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UserError(f"{architecture} has no weights called {tag!r}: it has {', '.join(tags) or 'none'}")


def preprocessing(module: nn.Module) -> Preprocessing:
    """What timm's own evaluation does to an image before this model."""
    config = timm.data.resolve_model_data_config(module)
    return overriding.apply(Preprocessing(), {name: config[name] for name in overriding.FIELDS})


def _from_file(name: str, path: Path) -> Backbone:
    weights = read(path)
    card = weights_card.parse(weights.metadata, path)
    if card.timm and card.timm != name:
        raise UserError(f"{path} holds the weights of {card.timm}, not of {name}: ask for {card.timm}")
    classes = timm_names.classes_of(name, weights.tensors)
    if classes is not None:
        card.kwargs.setdefault("num_classes", classes)
    module = _build(name, card.kwargs)
    if wrong := mismatch(module, weights.tensors):
        raise UserError(f"{path} does not fit {name}: {wrong}; {_advice(name, path, weights)}")
    module.load_state_dict(weights.tensors)
    return _backbone(name, module, card, weights.sha256)


def _advice(name: str, path: Path, weights: Weights) -> str:
    fitting = timm_names.fitting(weights.tensors, name, path.stem)
    return f"it fits {', '.join(fitting)}" if fitting else "name the timm model that it was trained as"


def _build(name: str, kwargs: dict[str, Any]) -> nn.Module:
    try:
        module: nn.Module = timm.create_model(name, **kwargs)
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as failure:
        given = f" with {kwargs}" if kwargs else ""
        raise UserError(f"timm cannot build {name}{given}: {str(failure).partition(chr(10))[0]}") from failure
    return module


def _random(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _build(name, {})


def _pretrained(name: str) -> nn.Module:
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"timm has no pretrained weights for {name}: give --weights FILE, or --weights random")
    try:
        with _impatient():
            return _build(name, {"pretrained": True})
    except OSError as failure:
        raise NotAvailable(f"cannot download the weights of {name}: give --weights FILE") from failure


@contextmanager
def _impatient() -> Iterator[None]:
    """Without a network, let the hub's client look at its cache only: it would try again for most of a minute."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable() -> bool:
    """Whether the hub's name resolves, or a proxy does that for us."""
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return bool(getproxies())
    return True


def _backbone(name: str, module: nn.Module, card: weights_card.Card, sha256: str) -> Backbone:
    own: dict[str, object] = {}
    if size := card.kwargs.get("img_size"):
        channels = card.kwargs.get("in_chans", 3)
        own["input_size"] = [channels, *(size if isinstance(size, list) else [size, size])]
    outputs: int = module.num_classes  # type: ignore[assignment]
    if card.classes and len(card.classes) != outputs:
        raise UserError(
            f"the weights of {name} name {len(card.classes)} classes but tell {outputs} apart: mend the file"
        )
    return Backbone(
        name,
        module.eval(),
        overriding.apply(preprocessing(module), own | card.preprocessing),
        outputs,
        card.classes or _imagenet_classes(module),
        sha256,
    )


def _imagenet_classes(module: nn.Module) -> tuple[str, ...]:
    subset = timm.data.infer_imagenet_subset(module)
    return tuple(timm.data.ImageNetInfo(subset).label_descriptions()) if subset == "imagenet-1k" else ()
