"""A session with a fixed batch answers any number of images as a free one does."""

from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from vitc.runtimes.batching import answers, shape


class Fixed:
    """Answers with each image's first value; takes `batch` images, no more and no fewer, or any number."""

    metadata: dict[str, str] = {}  # noqa: RUF012  (a protocol's attribute)

    def __init__(self, batch: int | None) -> None:
        self.input_shape = (batch, 1, 2, 2)
        self.runs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.input_shape[0] in {None, len(images)}
        self.runs += 1
        return images[:, :, 0, 0]


@pytest.mark.parametrize(("batch", "images", "runs"), [(None, 5, 1), (1, 5, 5), (4, 5, 2), (4, 4, 1), (4, 8, 2)])
def test_every_image_is_answered_in_order(batch: int | None, images: int, runs: int) -> None:
    given = np.arange(images * 4, dtype=np.float32).reshape(images, 1, 2, 2)
    session = Fixed(batch)
    np.testing.assert_array_equal(answers(session, given), given[:, :, 0, 0])
    assert session.runs == runs


@pytest.mark.parametrize(("fixed", "wanted"), [(None, 7), (2, 2)])
def test_a_batch_is_as_large_as_asked_for_where_that_is_free(fixed: int | None, wanted: int) -> None:
    assert shape(Fixed(fixed), 7) == (wanted, 1, 2, 2)
