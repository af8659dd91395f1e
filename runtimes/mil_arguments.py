"""What an operator of a MIL program is called with: its inputs by name, read as what the operator takes them for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Value = Tensor | tuple[Tensor, ...] | str | None


class UnknownFormError(Exception):
    """An operator is asked for something that the interpreter does not know."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The inputs of one operation. coremltools has filled in the defaults; None is an input that has none."""

    values: Mapping[str, Value]

    def tensor(self, name: str) -> Tensor:
        """A tensor that must be there."""
        value = self.values[name]
        if not isinstance(value, Tensor):
            raise UnknownFormError(f"{name} that is no tensor")
        return value

    def tensors(self, name: str) -> tuple[Tensor, ...]:
        """A list of tensors."""
        value = self.values[name]
        if not isinstance(value, tuple):
            raise UnknownFormError(f"{name} that is no list")
        return value

    def maybe(self, name: str) -> Tensor | None:
        """A tensor that may be left out."""
        return None if self.values.get(name) is None else self.tensor(name)

    def ints(self, name: str) -> list[int]:
        """Whole numbers: sizes, axes, strides; masks are 0 and 1."""
        return [int(number) for number in self.tensor(name).reshape(-1).tolist()]

    def integer(self, name: str) -> int:
        """One whole number."""
        return int(self.tensor(name).item())

    def number(self, name: str) -> float:
        """One number."""
        return float(self.tensor(name).item())

    def flag(self, name: str) -> bool:
        """Yes or no; left out is no."""
        return bool(self.tensor(name).item()) if self.values.get(name) is not None else False

    def word(self, name: str) -> str:
        """A string."""
        value = self.values[name]
        if not isinstance(value, str):
            raise UnknownFormError(f"{name} that is no word")
        return value


Operator = Callable[[Arguments], Tensor | tuple[Tensor, ...]]
"""Computes an operation in 32 bits; the plan rounds what it gives to the type that the program declares."""
