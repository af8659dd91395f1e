from itertools import pairwise

from vitc.compress.tokens.presets import PRESETS


def test_tokens_only_become_fewer() -> None:
    for name, kept in PRESETS.items():
        assert len(kept) == 12, name
        assert all(before >= after for before, after in pairwise((197, *kept))), name


def test_of_one_model_what_costs_more_keeps_more() -> None:
    for model in ("deit-t", "deit-s", "deit-b"):
        costs = {float(name.split("-")[2][:-1]): sum(kept) for name, kept in PRESETS.items() if name.startswith(model)}
        assert [costs[one] for one in sorted(costs)] == sorted(costs.values())
