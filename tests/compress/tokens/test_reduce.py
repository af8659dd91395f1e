import inspect
from collections.abc import Callable

import pytest

from vitc.compress.aids import Aids
from vitc.compress.tokens import Drop, Merge
from vitc.errors import UserError
from vitc.models.backbone import Backbone
from vitc.models.cost import cost

WAYS = [Merge, Drop]


@pytest.mark.parametrize("way", WAYS)
def test_by_default_an_image_costs_less(small_vit: Callable[..., Backbone], way: type[Merge | Drop]) -> None:
    backbone = small_vit()
    reduction = way()
    reduction.check(backbone)
    assert cost(reduction.apply(backbone).module, (3, 32, 32)).macs < cost(backbone.module, (3, 32, 32)).macs


@pytest.mark.parametrize("way", WAYS)
def test_the_backbone_says_what_was_done(small_vit: Callable[..., Backbone], way: type[Merge | Drop]) -> None:
    aids, verb = Aids(), way.__name__.lower()
    backbone = small_vit()
    made = way("2:increase").apply(backbone, aids=aids)
    assert made.form == (f"{verb} 2:increase",)
    assert aids.losses.notes == [f"of 17 tokens, blocks {verb} 0, 1, 3, 4"]
    others = [way(words).apply(backbone).fingerprint() for words in ("3", "2")]
    assert len({backbone.fingerprint(), made.fingerprint(), *others}) == 4


@pytest.mark.parametrize("way", WAYS)
def test_words_that_mean_nothing_are_refused(way: type[Merge | Drop]) -> None:
    with pytest.raises(UserError, match="'most' is no schedule of tokens; allowed: "):
        way("most")


@pytest.mark.parametrize("way", WAYS)
def test_its_paper_is_named(way: type[Merge | Drop]) -> None:
    module = inspect.getmodule(way)
    assert module is not None
    assert "arXiv" in (module.__doc__ or "").splitlines()[0]
