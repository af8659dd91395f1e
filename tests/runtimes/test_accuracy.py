"""Predictions are the same on every machine, and broken ones are never scored."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitc.errors import VerificationFailed
from vitc.runtimes.accuracy import Predictions, predict, top_k

Floats = NDArray[np.float32]


def as_logits(images: Floats) -> Floats:
    return images


def test_batches_are_joined_in_order_and_counted() -> None:
    logits = np.eye(7, dtype=np.float32)
    done: list[int] = []
    found = predict(as_logits, [logits[:4], logits[4:]], done.append)
    assert found.top5[:, 0].tolist() == list(range(7))
    assert found.top5.shape == (7, 5)
    assert done == [4, 3]


def test_tensors_are_taken_as_float32_arrays() -> None:
    kinds: list[np.dtype[np.float32]] = []

    def run(images: Floats) -> Floats:
        kinds.append(images.dtype)
        return images

    predict(run, [torch.eye(6, dtype=torch.float64)])
    assert kinds == [np.dtype(np.float32)]


def test_of_equal_logits_the_lowest_class_comes_first() -> None:
    assert predict(as_logits, [np.array([[1, 2, 2, 0, 2, 1]])]).top5.tolist() == [[1, 2, 4, 0, 5]]


def test_fewer_classes_than_five_are_all_kept() -> None:
    found = predict(as_logits, [np.array([[0.1, 0.3, 0.2]])])
    assert found.top5.tolist() == [[1, 2, 0]]
    assert top_k(found, [0], 5) == 100.0


def test_top_k_is_the_percentage_of_hits() -> None:
    found = Predictions(np.array([[0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [5, 6, 7, 8, 9], [9, 8, 7, 6, 5]]))
    assert top_k(found, [0, 0, 0, 9], 1) == 50.0
    assert top_k(found, [0, 0, 0, 9], 5) == 75.0


def test_logits_that_are_not_finite_name_the_first_image() -> None:
    logits = np.ones((6, 3), dtype=np.float32)
    logits[3, 1], logits[5, 0] = np.nan, np.inf
    with pytest.raises(VerificationFailed, match=r"^2 of 6 images .* the first is image 3 "):
        predict(as_logits, [logits[:2], logits[2:]])


def test_an_output_that_is_not_a_row_an_image_is_refused() -> None:
    with pytest.raises(VerificationFailed, match="2 images gave an output of shape"):
        predict(lambda images: images[:1], [np.ones((2, 3))])


@pytest.mark.parametrize(("labels", "k"), [([0, 1], 1), ([], 1), ([0], 6), ([0], 0)])
def test_what_cannot_be_scored_is_refused(labels: list[int], k: int) -> None:
    with pytest.raises(ValueError, match=r"cannot be scored|k = "):
        top_k(Predictions(np.array([[0, 1, 2, 3, 4]])), labels, k)


def test_no_images_give_no_predictions() -> None:
    assert predict(as_logits, []).top5.shape == (0, 5)
