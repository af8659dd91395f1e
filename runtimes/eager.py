"""PyTorch itself: the simulation that every artifact is held against."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def run(module: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The module's logits of a batch."""
    with torch.inference_mode():
        logits: NDArray[np.float32] = module(torch.from_numpy(images)).float().numpy()
    return logits
