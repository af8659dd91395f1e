import pytest
import torch

from vitc.compress.recover.loss import LAST, Feature, Wanted, Weights, is_near, loss, variance

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])


def test_the_same_answers_cost_nothing() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    wanted = Wanted(LOGITS.softmax(1), {LAST: Feature(features, variance(features))})
    cost = loss(LOGITS, {LAST: features}, wanted, Weights())
    assert float(cost) == pytest.approx(0, abs=1e-6)


def test_each_part_counts_for_its_weight() -> None:
    shares, feature = torch.eye(3)[:2], Feature(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([1.0, 4.0]))
    found = {LAST: torch.zeros(2, 2), "a": torch.zeros(2, 2), "b": torch.ones(2, 2)}
    plain = loss(LOGITS, found, Wanted(shares), Weights())
    assert float(plain) == pytest.approx(-float(LOGITS.log_softmax(1).diag().mean()))
    assert float(loss(LOGITS, found, Wanted(shares), Weights(shares=0.5))) == pytest.approx(0.5 * float(plain))
    last = loss(LOGITS, found, Wanted(shares, {LAST: feature}), Weights(features=2.0))
    assert float(last - plain) == pytest.approx(2 * float(feature.distance(found[LAST])))
    stages = loss(LOGITS, found, Wanted(shares, {"a": feature, "b": feature}), Weights(stages=3.0))
    both = float(feature.distance(found["a"]) + feature.distance(found["b"]))
    assert float(stages - plain) == pytest.approx(3 * both / 2)
    of_one = loss(LOGITS, found, Wanted(shares, told=torch.tensor([False, True])), Weights())
    assert float(of_one) == pytest.approx(-float(LOGITS.log_softmax(1)[1, 1]) / 2)
    with_labels = loss(LOGITS, {}, Wanted(shares, {}, torch.tensor([0, 1])), Weights(labels=3.0))
    assert float(with_labels - plain) == pytest.approx(3 * float(plain))


def test_features_are_measured_by_how_much_each_channel_of_the_wanted_ones_differs() -> None:
    wanted = torch.tensor([[1.0, 500.0], [3.0, 900.0]])
    differ = torch.tensor([1.0, 40000.0])
    torch.testing.assert_close(variance(wanted), differ + 0.01 * differ.mean())
    for scale in (1.0, 10.0):
        feature = Feature(scale * wanted, variance(scale * wanted))
        found = scale * torch.tensor([[2.0, 500.0], [2.0, 900.0]])
        assert float(feature.distance(found)) == pytest.approx(0.5 / (1 + 200.005))
        assert float(Feature(feature.wanted, scale**2 * differ).distance(found)) == pytest.approx(0.5)


def test_features_are_near_where_they_are_nearer_than_nothing_is() -> None:
    wanted = torch.tensor([[1.0, -2.0], [0.5, 1.0]])
    assert is_near(0.5 * wanted, wanted)
    assert not is_near(torch.zeros(2, 2), wanted)
    assert not is_near(2.5 * wanted, wanted)
