"""Names of timm models: the closest to a misspelt one, and those whose weights have the shapes of a file's."""

from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from itertools import chain, zip_longest

import torch
from torch import Tensor

from .timm_ready import timm
from .weights import mismatch

TRIED = 12
"""How many models are built, without memory, to find those that fit: each takes some tenths of a second."""

SUGGESTED = 3


def closest(name: str) -> list[str]:
    """The names most like `name`."""
    return get_close_matches(name, timm.list_models(), SUGGESTED, cutoff=0)


def fitting(tensors: Mapping[str, Tensor], asked: str, file_stem: str) -> list[str]:
    """Up to three names whose models take exactly these tensors, among those most like the asked name or the file's."""
    found = (name for name in _candidates(asked, file_stem) if _fits(name, tensors))
    return [name for name, _ in zip(found, range(SUGGESTED), strict=False)]


def classes_of(name: str, tensors: Mapping[str, Tensor]) -> int | None:
    """How many classes the classifier among `tensors` tells apart, found by the name that timm gives it."""
    config = timm.models.get_pretrained_cfg(name)
    classifier = config.classifier if config else None
    first = classifier[0] if isinstance(classifier, tuple | list) else classifier
    weight = tensors.get(f"{first}.weight")
    return None if weight is None else len(weight)


def _candidates(asked: str, file_stem: str) -> list[str]:
    """In turn, the names most like the file's, as far as it resembles any, and those of the asked family."""
    names = timm.list_models()
    family = asked.partition("_")[0]

    def strangeness(name: str) -> tuple[bool, float]:
        return not name.startswith(family), -SequenceMatcher(None, asked, name).ratio()

    like_the_file = get_close_matches(file_stem, names, TRIED)
    turns = chain.from_iterable(zip_longest(like_the_file, sorted(names, key=strangeness)[:TRIED]))
    return list(dict.fromkeys(name for name in turns if name and name != asked))[:TRIED]


def _fits(name: str, tensors: Mapping[str, Tensor]) -> bool:
    classes = classes_of(name, tensors)
    try:
        with torch.device("meta"):
            module = timm.create_model(name, **({} if classes is None else {"num_classes": classes}))
    except (RuntimeError, TypeError, ValueError):
        return False
    return mismatch(module, tensors) is None
