"""What is planted is caught by its name, and what is merely good is not."""

import numpy as np
import pytest

from vitc.reports.plausible import Answers, Setting, implausible, unlike

N = 400
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 10, N)


def answers(share: float) -> Answers:
    """Right on a share of the images."""
    first = np.where(np.arange(N) < share * N, LABELS, (LABELS + 1) % 10)
    return Answers(np.stack([first, (first + 3) % 10], 1), LABELS)


def constant(*, order: bool) -> Answers:
    """One class for all, with or without the rest of the answer varying."""
    second = np.zeros(N, int) if order else GENERATOR.integers(1, 10, N)
    return Answers(np.stack([np.full(N, 4), second], 1), LABELS)


def names(made: Answers, own_float: Answers | None = None) -> list[str]:
    return [finding.what.removeprefix("plausibility: ") for finding in implausible("x", made, own_float)]


@pytest.mark.parametrize(
    ("made", "own_float", "wanted"),
    [
        (answers(0.8), answers(0.8), []),
        (answers(0.81), answers(0.8), []),
        (answers(0.9), answers(0.8), ["better than float"]),
        (answers(0.9), None, []),
        (constant(order=True), None, ["same output"]),
        (constant(order=False), None, ["constant classifier"]),
        (Answers(constant(order=True).top[:5], LABELS[:5]), None, []),
        (Answers(np.full((N, 2), 3), np.full(N, 3)), None, []),
    ],
)
def test_answers(made: Answers, own_float: Answers | None, wanted: list[str]) -> None:
    assert names(made, own_float) == wanted


def test_what_differs_between_two_sides_is_named() -> None:
    one = Setting("a", "{}", (3, 224, 224))
    assert list(unlike("x", one, one)) == []
    found = [finding.what for finding in unlike("x", one, Setting("b", '{"crop_pct": 1}', (3, 96, 96)))]
    assert found == [f"plausibility: other {what}" for what in ("images", "preprocessing", "input")]
