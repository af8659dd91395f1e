import inspect
from collections.abc import Callable

import pytest

from vitc.compress.tokens import Drop, Merge
from vitc.models.backbone import Backbone
from vitc.models.cost import cost


@pytest.mark.parametrize("way", [Merge, Drop])
def test_by_default_an_image_costs_less(small_vit: Callable[..., Backbone], way: type[Merge | Drop]) -> None:
    backbone = small_vit()
    reduction = way()
    reduction.check(backbone)
    assert cost(reduction.apply(backbone).module, (3, 32, 32)).macs < cost(backbone.module, (3, 32, 32)).macs


@pytest.mark.parametrize("way", [Merge, Drop])
def test_its_paper_is_named(way: type[Merge | Drop]) -> None:
    module = inspect.getmodule(way)
    assert module is not None
    assert "arXiv" in (module.__doc__ or "").splitlines()[0]
