import numpy as np
import torch
from torch import nn

from vitc.runtimes import eager


class Halved(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(torch.bfloat16)


def test_it_gives_the_logits_of_the_module() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout(0.5)).eval()
    images = np.random.default_rng(0).standard_normal((3, 3, 2, 2), dtype=np.float32)
    logits = eager.run(module, images)
    assert logits.shape == (3, 5)
    with torch.no_grad():
        assert np.array_equal(logits, module(torch.from_numpy(images)).numpy())


def test_logits_are_32_bit_floats_whatever_the_module_gives() -> None:
    logits = eager.run(Halved(), np.ones((2, 3), dtype=np.float32))
    assert logits.dtype == np.float32
    assert (logits == 1).all()
