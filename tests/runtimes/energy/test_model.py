"""The published figures: what an operation takes, and how operations are counted."""

import pytest

from vitc.runtimes.energy.model import bits_of, modelled

DEIT_TINY = 1_258_000_000


@pytest.mark.parametrize(("name", "picojoules"), [("w32a32", 4.6), ("w8a8", 0.23), ("w4a8", 0.23), ("w1a8", 0.03)])
def test_a_multiply_accumulate_takes_what_the_table_says(name: str, picojoules: float) -> None:
    assert modelled({name: 10**9}, 0, exact_floats=True).arithmetic_mj == pytest.approx(picojoules)


def test_floats_that_are_not_exact_have_sixteen_bits() -> None:
    assert modelled({"w32a32": 10**9}, 0, exact_floats=False).arithmetic_mj == pytest.approx(1.5)
    assert modelled({"w8a8": 10**9}, 0, exact_floats=False).arithmetic_mj == pytest.approx(0.23)


def test_deit_tiny_takes_what_is_known_of_it() -> None:
    floats = modelled({"w32a32": DEIT_TINY}, 4 * 5_717_416, exact_floats=True)
    assert floats.arithmetic_mj == pytest.approx(5.8, rel=0.01)
    assert floats.memory_mj == pytest.approx(3.7, rel=0.02)
    assert modelled({"w8a8": DEIT_TINY}, 5_717_416, exact_floats=True).memory_mj == pytest.approx(0.9, rel=0.02)


@pytest.mark.parametrize(("name", "ops"), [("w32a32", 64), ("w1a1", 1), ("w1a8", 8), ("w8a8", 64), ("w4a4", 16)])
def test_sixty_four_binary_operations_are_one_float(name: str, ops: int) -> None:
    assert modelled({name: 64}, 0, exact_floats=True).ops == ops


def test_parts_add_up() -> None:
    whole = modelled({"w1a8": 640, "w32a32": 100}, 0, exact_floats=True)
    assert whole.ops == 80 + 100


def test_a_name_without_bits_is_refused() -> None:
    assert bits_of("w1a8") == (1, 8)
    with pytest.raises(ValueError, match="names no bits"):
        bits_of("int8")
