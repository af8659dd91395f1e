from collections.abc import Callable

import pytest
import torch

from vitc.compress.tokens.drop import Drop, Dropping
from vitc.errors import UserError
from vitc.models.backbone import Backbone
from vitc.models.cost import cost
from vitc.models.program import trace

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
Build = Callable[..., Backbone]


def test_dropping_nothing_changes_nothing(small_vit: Build) -> None:
    backbone = small_vit()
    assert torch.equal(Drop("0").apply(backbone).module(IMAGES), backbone.module(IMAGES))


def test_attention_is_that_of_the_class_token(small_vit: Build) -> None:
    attention = small_vit().module.get_submodule("blocks.1.attn")
    seen = torch.randn(2, 17, 32)
    query, key, _ = attention.get_submodule("qkv")(seen).reshape(2, 17, 3, 2, 16).permute(2, 0, 3, 1, 4)
    wanted = (query @ key.transpose(-2, -1) / 4).softmax(-1)[:, :, 0].mean(1)
    torch.testing.assert_close(Dropping(attention, 1, 3).attention(seen), wanted)


def test_the_most_attended_stay_and_the_rest_become_their_average(small_vit: Build) -> None:
    dropping = Dropping(small_vit().module.get_submodule("blocks.1.attn"), 1, 5)
    x = torch.randn(2, 17, 32)
    out, sizes = dropping(x, x, None)
    assert (out.shape, sizes) == ((2, 12, 32), None)
    for image, tokens, attended in zip(x, out, dropping.attention(x).detach()[:, 1:], strict=True):
        order = sorted(range(16), key=lambda one: -float(attended[one]))
        gone = torch.tensor(order[10:])
        share = attended[gone] / attended[gone].sum()
        torch.testing.assert_close(tokens[0], image[0])
        torch.testing.assert_close(tokens[1:11], image[1:][torch.tensor(order[:10])])
        torch.testing.assert_close(tokens[11], share @ image[1:][gone])


def test_it_costs_what_was_asked_for_and_the_program_has_fixed_counts(small_vit: Build) -> None:
    backbone = small_vit()
    before = backbone.fingerprint()
    dropped = Drop("70%").apply(backbone)
    assert backbone.fingerprint() == before != dropped.fingerprint()
    share = cost(dropped.module, (3, 32, 32)).macs / cost(backbone.module, (3, 32, 32)).macs
    assert 0.6 < share <= 0.7
    program = trace(dropped.module, (3, 32, 32))
    torch.testing.assert_close(program(IMAGES), dropped.module(IMAGES))


def test_without_a_class_token_it_is_refused(small_vit: Build) -> None:
    with pytest.raises(UserError, match=r"has no class token .* merge them"):
        Drop().check(small_vit(class_token=False, global_pool="avg"))


def test_normalized_keys_are_refused(small_vit: Build) -> None:
    with pytest.raises(UserError, match="normalizes its keys"):
        Drop().check(small_vit(qk_norm=True))
