"""Images come in any order, from memory or from where they lie."""

import numpy as np
import torch

from vitc.models.backbone import Preprocessing
from vitc.models.decode import Pixels
from vitc.models.indexed import Held, Indexed, Part, indexed


def test_batches_are_held_in_memory() -> None:
    images = torch.arange(10.0).view(5, 2)
    found = indexed([images[:3], images[3:]])
    assert found.count == 5
    assert torch.equal(found.at([4, 0]), images[[4, 0]])


def test_decoded_images_stay_where_they_lie() -> None:
    content = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    batches = Pixels(content, None, tuple("abcde"), (), Preprocessing((3, 4, 4))).batches(2)
    found = indexed(batches)
    assert isinstance(batches, Indexed)
    assert found.count == 5
    assert torch.equal(found.at([4, 0, 1]), torch.cat(list(batches))[[4, 0, 1]])


def test_a_part_has_some_of_the_images_a_few_at_a_time() -> None:
    images = torch.arange(14.0).view(7, 2)
    part = Part(Held(images), [6, 1, 2, 4, 0], 2)
    assert isinstance(part, Indexed)
    assert [len(batch) for batch in part] == [2, 2, 1]
    assert torch.equal(torch.cat(list(part)), images[[6, 1, 2, 4, 0]])
    assert torch.equal(part.at([4, 0]), images[[0, 6]])
    assert part.count == 5
