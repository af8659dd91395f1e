"""Whether an artifact, loaded back, still answers as the torch program it was made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import VerificationFailed

LEAST_AGREEMENT = 0.95
"""Share of images on which a quantized artifact must give the simulation's class.

Integer rounding amplifies the last bits in which two runtimes differ, so equal answers are asked for, not equal logits.
"""
LEAST_AGREEMENT_IN_16_BITS = 0.9
"""The same where floats have 16 bits: rounding only its scales to fp16, the simulation agrees with itself on 97 %."""
FLOAT_TOLERANCE = 1e-3
"""Largest error of a float artifact, relative to the largest output."""
LEAST_COSINE = 0.999
"""Of a float artifact on a target that computes floats in 16 bits."""


@dataclass(frozen=True)
class ParityResult:
    """How far two sets of logits are apart, over `images` images."""

    max_abs: float
    cosine: float
    top1_agree: float
    """Share of the images that get one class from both; logits that are not finite say no class."""
    images: int
    scale: float
    """The largest magnitude of the reference."""


def compare(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> ParityResult:
    """Hold an artifact's logits against the simulation's."""
    if reference.shape != logits.shape:
        raise VerificationFailed(f"the artifact gives logits {logits.shape} where torch gives {reference.shape}")
    one, other = reference.astype(np.float64), logits.astype(np.float64)
    finite = np.isfinite(one).all(1) & np.isfinite(other).all(1)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return ParityResult(
        max_abs=float(np.abs(one - other).max()),
        cosine=float(((one * other).sum(1) / np.maximum(norms, np.finfo(np.float64).tiny)).mean()),
        top1_agree=float(((one.argmax(1) == other.argmax(1)) & finite).mean()),
        images=len(reference),
        scale=float(np.abs(one).max()),
    )


def complaint(parity: ParityResult, precision: str, *, exact_floats: bool = True) -> str | None:
    """What is wrong with the artifact, or None; not every target computes its floats in 32 bits."""
    if precision == "fp32" and not exact_floats:
        if not parity.cosine >= LEAST_COSINE:
            return f"answers with a cosine of {parity.cosine:.4f} to torch's logits"
    elif precision == "fp32":
        if not parity.max_abs <= FLOAT_TOLERANCE * parity.scale:
            return f"differs from torch by {parity.max_abs:.2g} where outputs reach {parity.scale:.2g}"
    elif not parity.top1_agree >= (LEAST_AGREEMENT if exact_floats else LEAST_AGREEMENT_IN_16_BITS):
        return f"gives the simulation's class on {parity.top1_agree:.1%} of {parity.images} images only"
    return None
