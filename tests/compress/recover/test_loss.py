import pytest
import torch

from vitc.compress.recover.loss import Wanted, Weights, distance, loss

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])


def test_the_same_answers_cost_nothing() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    cost = loss(LOGITS, features, Wanted(LOGITS.softmax(1), features), Weights())
    assert float(cost) == pytest.approx(0, abs=1e-6)


def test_each_part_counts_for_its_weight() -> None:
    shares, features = torch.eye(3)[:2], torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    found = torch.zeros(2, 2)
    plain = loss(LOGITS, None, Wanted(shares, features), Weights())
    assert float(plain) == pytest.approx(-float(LOGITS.log_softmax(1).diag().mean()))
    with_features = loss(LOGITS, found, Wanted(shares, features), Weights(features=2.0))
    assert float(with_features - plain) == pytest.approx(2 * float(distance(found, features)))
    with_labels = loss(LOGITS, None, Wanted(shares, None, torch.tensor([0, 1])), Weights(labels=3.0))
    assert float(with_labels - plain) == pytest.approx(3 * float(plain))


def test_features_are_measured_by_how_much_the_wanted_ones_differ() -> None:
    wanted = torch.tensor([[1.0, 5.0], [3.0, 9.0]])
    assert float(distance(wanted.mean(0).expand(2, 2), wanted)) == pytest.approx(1)
    assert float(distance(10 * wanted.mean(0).expand(2, 2), 10 * wanted)) == pytest.approx(1)
