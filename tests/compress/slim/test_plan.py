"""The least goes that suffices, in steps that leave multiples, the cheapest first."""

import torch
from torch import Tensor

from vitc.compress.slim.cuts import Group, Kept
from vitc.compress.slim.plan import Terms, choose, summary, uniform, widths

GROUPS = (Group("a", "neurons", 32, ()), Group("b", "neurons", 32, ()), Group("h", "heads", 4, ()))
WHOLE = {group.name: group.whole for group in GROUPS}
SCORES = {"a": torch.arange(32).double() + 100, "b": torch.arange(32).double() + 1, "h": torch.ones(4).double()}


def cost(kept: Kept) -> float:
    return sum(float(mask.float().mean()) for mask in kept.values()) / 3


TERMS = Terms(GROUPS, 8, cost)


def counts(kept: Kept) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in kept.items()}


def test_the_aim_is_met_with_what_matters_least() -> None:
    kept = choose(TERMS, WHOLE, SCORES, 0.83)
    assert counts(kept) == {"a": 32, "b": 16, "h": 4}
    assert kept["b"].tolist() == [False] * 16 + [True] * 16


def test_all_that_may_go_goes_if_the_aim_is_too_low() -> None:
    assert counts(choose(TERMS, WHOLE, SCORES, 0.0)) == {"a": 8, "b": 8, "h": 1}


def test_nothing_goes_where_enough_is_gone() -> None:
    once = choose(TERMS, WHOLE, SCORES, 0.7)
    again = choose(TERMS, once, SCORES, 0.7)
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_step_that_goes_too_far_is_left_out() -> None:
    coarse = Group("big", "widths", 16, ())
    groups = (GROUPS[0], coarse)
    terms = Terms(groups, 8, lambda kept: float(0.2 * kept["a"].float().mean() + 0.8 * kept["big"].float().mean()))
    scores: dict[str, Tensor] = {"a": SCORES["a"], "big": torch.zeros(16).double()}
    kept = choose(terms, {group.name: group.whole for group in groups}, scores, 0.9)
    assert counts(kept) == {"a": 16, "big": 16}


def test_kinds_whose_scores_do_not_compare_shrink_alike() -> None:
    one, other = Group("one", "neurons", 64, ()), Group("other", "widths", 64, ())
    terms = Terms((one, other), 8, lambda kept: float(sum(mask.float().mean() for mask in kept.values()) / 2))
    scores = {"one": torch.arange(64).double() + 1, "other": (torch.arange(64).double() + 1) * 1e6}
    kept = choose(terms, {"one": one.whole, "other": other.whole}, scores, 0.5)
    assert counts(kept) == {"one": 32, "other": 32}


def test_a_kind_can_be_cut_alone_for_measuring() -> None:
    assert counts(uniform(TERMS, "neurons", 0.5)) == {"a": 16, "b": 16, "h": 4}
    assert counts(uniform(TERMS, "heads", 0.5)) == {"a": 32, "b": 32, "h": 2}


def test_what_went_is_said() -> None:
    kept = choose(TERMS, WHOLE, SCORES, 0.83)
    assert summary(GROUPS, kept) == "16 of 64 neurons, 0 of 4 heads"
    assert widths(GROUPS, kept) == "b 16/32"
