"""Learning back what compression cost, from the untouched backbone and unlabelled images."""

from .recover import Recover

__all__ = ["Recover"]
