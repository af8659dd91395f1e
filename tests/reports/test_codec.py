"""The codec takes what was declared and nothing else."""

from dataclasses import dataclass
from typing import Any

import pytest

from vitc.errors import UserError, VerificationFailed
from vitc.reports.codec import decode, encode, parse


@dataclass(frozen=True)
class Leaf:
    ratio: float
    ends: tuple[float, float]


@dataclass(frozen=True)
class Tree:
    name: str
    count: int
    sure: bool
    leaves: tuple[Leaf, ...]
    best: Leaf | None
    versions: dict[str, str]
    free: dict[str, Any]


@dataclass(frozen=True)
class Fruit:
    kind: str
    seeds: int = 0
    note: str = ""
    weight: float | None = None
    worms: tuple[int, ...] = ()
    ripe: int = 1


YES = True
LEAF = Leaf(0.5, (0.25, 1.0))
TREE = Tree("t", 3, YES, (LEAF, LEAF), None, {"torch": "2"}, {"a": [1, {"b": None}], "rate": 0.123456789012})


def test_what_is_written_is_read_back() -> None:
    assert decode(Tree, encode(TREE)) == TREE


def test_what_is_empty_by_default_may_be_left_out_and_is() -> None:
    assert encode(Fruit("plum")) == {"kind": "plum", "ripe": 1}
    assert decode(Fruit, {"kind": "plum", "ripe": 1}) == Fruit("plum")
    full = Fruit("plum", 1, "sweet", 0.5, (3,), 0)
    assert decode(Fruit, encode(full)) == full
    with pytest.raises(UserError, match="ripe"):
        decode(Fruit, {"kind": "plum"})


def test_declared_floats_keep_seven_digits() -> None:
    assert encode(Leaf(1 / 3, (2e-9 / 3, 123456789.0)))["ratio"] == 0.3333333
    assert encode(Leaf(1 / 3, (2e-9 / 3, 123456789.0)))["ends"] == [6.666667e-10, 123456800.0]


def test_a_whole_number_passes_as_a_float() -> None:
    leaf = decode(Leaf, {"ratio": 2, "ends": [0, 1]})
    assert type(leaf.ratio) is float
    assert leaf == Leaf(2.0, (0.0, 1.0))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", 3, "name: 3 is not a text"),
        ("count", True, "count: true is not a whole number"),
        ("count", 3.0, "count: 3.0 is not a whole number"),
        ("sure", 1, "sure: 1 is not true or false"),
        ("leaves", {}, "leaves: {} is not a list"),
        ("leaves", [None], "leaves[0]: null is not an object with the keys ratio, ends"),
        ("leaves", [{"ratio": "1", "ends": [0, 1]}], 'leaves[0].ratio: "1" is not a number'),
        ("leaves", [{"ratio": 10**400, "ends": [0, 1]}], "is not a number"),
        ("best", {"ratio": 1.0, "ends": [0]}, "best.ends: 1 items where 2 belong"),
        ("best", {"ratio": 1.0}, 'best: key "ends" is missing'),
        ("best", {"ratio": 1.0, "ends": [0, 1], "x\n": 1}, r'best: unknown key "x\n"; allowed: ratio, ends'),
        ("versions", {"torch": 2}, "versions.torch: 2 is not a text"),
        ("free", [], "free: [] is not an object"),
    ],
)
def test_another_type_is_refused_by_its_place(key: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        decode(Tree, {**encode(TREE), key: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", '{"a": 1', "NaN", "[-Infinity]", "1e999", '{"a": 1, "a": 2}', "[" * 200_000, "9" * 9999]
)
def test_a_text_that_is_not_whole_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^not a whole JSON text .*$"):
        parse(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_never_written(value: float) -> None:
    with pytest.raises(VerificationFailed, match=r"^leaves\[0\]\.ends\[1\]: "):
        encode(Tree("t", 1, YES, (Leaf(1, (0, value)),), None, {}, {}))
    with pytest.raises(VerificationFailed, match=r"^free\.a\[0\]: "):
        encode(Tree("t", 1, YES, (), None, {}, {"a": [value]}))
