"""Rewritings of a float program that it does not notice, and that leave its tensors easier to round.

One row a step, in the order in which they may be applied; each is an exact identity in real numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..draft import Step
from .layer_norm import Reparameterize
from .products import BalanceProducts
from .rotate import Rotate
from .smooth import Smooth


@dataclass(frozen=True)
class Row:
    """A step's entry: what the recipe calls it, the step, and whose idea it is."""

    name: str
    step: type[Step]
    source: str


_ROWS = (
    Row("rotate", Rotate, "QuaRot, arXiv 2404.00456"),
    Row("reparameterize", Reparameterize, "RepQuant, arXiv 2402.05628"),
    Row("balance", BalanceProducts, "SmoothQuant's idea, for what attention multiplies"),
    Row("smooth", Smooth, "SmoothQuant, arXiv 2211.10438, with the shift of MPTQ-ViT"),
)
STEPS: Mapping[str, Row] = {row.name: row for row in _ROWS}
