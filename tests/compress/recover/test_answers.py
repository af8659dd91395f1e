"""What is kept of answers is enough to learn from."""

from pathlib import Path

import torch

from vitc.compress.recover.answers import KEPT, Answers, dense, sparse


def logits(classes: int) -> torch.Tensor:
    return torch.randn(7, classes, generator=torch.Generator().manual_seed(0)) * 3


def test_few_classes_come_back_as_they_were() -> None:
    given = logits(5)
    kept = sparse(given, {})
    shares, features = kept.at(range(7), 5)
    torch.testing.assert_close(shares, given.softmax(1), rtol=5e-3, atol=1e-4)
    assert features == {}


def test_of_many_classes_the_first_come_back_and_the_rest_share_what_is_left() -> None:
    given = logits(1000)
    kept = sparse(given, {"": torch.ones(7, 3)})
    assert kept.shares.shape == kept.classes.shape == (7, KEPT)
    assert kept.shares.dtype == kept.features[""].dtype == torch.float16
    shares, features = kept.at([2, 4], 1000)
    exact = given.softmax(1)[[2, 4]]
    first = exact.topk(KEPT).indices
    torch.testing.assert_close(shares.gather(1, first), exact.gather(1, first), rtol=5e-3, atol=1e-5)
    torch.testing.assert_close(shares.sum(1), torch.ones(2), rtol=1e-4, atol=1e-4)
    others = torch.ones(2, 1000).scatter(1, first, 0.0).bool()
    assert all(len(row[those].unique()) == 1 for row, those in zip(shares, others, strict=True))
    assert features[""].tolist() == [[1.0] * 3] * 2


def test_rounding_up_leaves_no_share_below_zero() -> None:
    shares = dense(torch.tensor([[0.0, -7.0]]), torch.tensor([[3, 1]]), 5)
    assert shares.min() >= 0
    assert shares.sum() == 1


def test_a_file_holds_them(tmp_path: Path) -> None:
    kept = sparse(logits(200), {"": torch.randn(7, 4), "blocks.0.mlp.fc2": torch.randn(7, 3)})
    kept.save(tmp_path / "answers.safetensors")
    found = Answers.load(tmp_path / "answers.safetensors")
    assert found.tensors().keys() == kept.tensors().keys()
    assert all(torch.equal(one, kept.tensors()[name]) for name, one in found.tensors().items())
    assert found.features.keys() == kept.features.keys()
    assert [file.name for file in tmp_path.iterdir()] == ["answers.safetensors"]
