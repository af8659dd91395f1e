"""Any backbone that vitc can read, quantized programs included: their operators are registered here."""

from .compress import ops  # noqa: F401  (registers the operators)
from .models import load

__all__ = ["load"]
