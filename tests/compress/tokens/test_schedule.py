import pytest

from vitc.compress.tokens.schedule import Body, parse
from vitc.errors import UserError


def body(depth: int = 12, tokens: int = 197) -> Body:
    """A block costs a unit for each token that it gets, and taking tokens away ten."""

    def macs(amounts: tuple[int, ...]) -> int:
        left, total = tokens, 0
        for count in amounts:
            total += left + 10 * bool(count)
            left -= count
        return total

    return Body(tokens, depth, lambda left: (left - 1) // 2, macs)


def test_a_number_holds_for_every_block() -> None:
    assert parse("8").amounts(body()) == (8,) * 12
    assert parse("0").amounts(body()) == (0,) * 12


def test_slopes_take_as_many_in_all() -> None:
    up, down = (parse(f"8:{slope}").amounts(body()) for slope in ("increase", "decrease"))
    assert up == down[::-1]
    assert (up[0], up[-1], sum(up)) == (0, 16, 96)
    assert list(up) == sorted(up)


def test_a_block_takes_what_it_can() -> None:
    assert parse("8").amounts(body(4, 17)) == (8, 4, 2, 1)


def test_few_blocks_cost_as_much() -> None:
    amounts = parse("8:few").amounts(body())
    wanted = body().macs((8,) * 12)
    assert 0 <= wanted - body().macs(amounts) < 0.02 * wanted
    assert [index for index, count in enumerate(amounts) if count] == [3, 5, 7, 9]
    shares, left = [], 197
    for count in amounts:
        shares += [count / left] * bool(count)
        left -= count
    assert max(shares) - min(shares) < 0.01, "each takes the same share"


@pytest.mark.parametrize("words", ["70%", "0.0000015G"])
def test_budgets_are_kept(words: str) -> None:
    budget = 0.7 * 12 * 197 if words == "70%" else 1500
    cost = body().macs(parse(words).amounts(body()))
    assert 0.97 * budget < cost <= budget


def test_a_budget_that_is_all_takes_nothing_away() -> None:
    assert parse("100%").amounts(body()) == (0,) * 12


def test_small_models_have_few_blocks_too() -> None:
    assert sum(map(bool, parse("80%").amounts(body(4)))) == 3
    assert len(parse("100%").amounts(body(1))) == 1


def test_counts_are_what_is_kept() -> None:
    assert parse("17,12,12,7").amounts(body(4, 17)) == (0, 5, 0, 5)


def test_a_schedule_by_name_is_cut_to_what_can_be() -> None:
    amounts = parse("deit-t-0.9G").amounts(body())
    assert amounts[:3] == (0, 1, 2)
    assert sum(amounts) == 197 - (96 - 95 // 2)


@pytest.mark.parametrize(
    "words", ["", "-3", "8:", "8:fast", "few", "0G", "0%", "120%", "0.9", "0.9 G", "12,", "a,b", "deit-x-1G", "8.5"]
)
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(UserError, match=r"is no schedule of tokens; allowed: .*8:increase.*70%.*deit-t-0.9G"):
        parse(words)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("17,16,15", "3 counts of tokens are given for 4 blocks"),
        ("17,5,5,5", "block 1 gets 17 tokens and can keep 9 to 17, not 5"),
        ("17,12,13,9", "block 2 gets 12 tokens and can keep 7 to 12, not 13"),
        ("1%", "few blocks cannot bring .* down to .*; the least is"),
    ],
)
def test_what_a_model_cannot_follow_is_refused(words: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parse(words).amounts(body(4, 17))
