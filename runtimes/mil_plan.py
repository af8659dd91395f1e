"""A MIL program as a list of steps in torch: what depends on no image is computed once.

The arithmetic. Every operator computes in 32-bit floats from its inputs as they are declared, and its result is rounded
to the type that the program declares for it: what is fp16 in the file is rounded to fp16 after every operator, and is
infinite where fp16 is. The sums inside an operator are kept in 32 bits; what the engines of a device keep is theirs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import VerificationFailed
from .mil_arguments import Arguments, Operator, UnknownFormError, Value
from .mil_ops import EXACT, OPERATORS

_KINDS = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "bool": torch.bool,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
}
"""What a declared type is kept as; fp16 is kept as the 32-bit float of the same value."""
Key = int
"""A value's identity while the program is read; names may be given twice."""
Wires = Mapping[str, Key | tuple[Key, ...] | None]
"""What an operation reads, by the names of its inputs."""
_CLASSIFY = "classify"
"""Names the likeliest class: nothing that is computed further."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A value of the program: its key and name, its type, and its shape, None where it is free."""

    key: Key
    name: str
    kind: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of the program."""

    operator: str
    layer: str
    function: Operator
    inputs: Wires
    outputs: tuple[Declared, ...]
    last: tuple[Key, ...]
    """The values that no later step reads."""


class Plan:
    """A loaded program; `run` gives its value of the name `output`."""

    def __init__(self, function: Any, output: str) -> None:
        operations = [op for op in function.operations if op.op_type not in ("const", _CLASSIFY)]
        _refuse_unknown(operations)
        [image] = function.inputs.values()
        self.image = declared(image)
        [self.output] = (id(var) for var in function.outputs if var.name == output)
        self.constants: dict[Key, Value] = {
            id(op.outputs[0]): constant(op.outputs[0].val) for op in function.operations if op.op_type == "const"
        }
        self.steps: list[Step] = []
        with torch.inference_mode():
            for step in _steps(operations, self.output):
                if all(key in self.constants for key in _read(step.inputs)):
                    _execute(step, self.constants)
                else:
                    self.steps.append(step)
        self._keep_what_is_read()

    def _keep_what_is_read(self) -> None:
        """Drop the codes of folded weights."""
        read = {key for step in self.steps for key in _read(step.inputs)} | {self.output}
        self.constants = {key: value for key, value in self.constants.items() if key in read}

    def run(self, images: Tensor, note: Callable[[str, Tensor], object] | None = None) -> Tensor:
        """The output for one batch of the program's own size; `note` is told every value on the way, by its name."""
        values = dict(self.constants)
        values[self.image.key] = rounded(images, self.image.kind)
        with torch.inference_mode():
            for step in self.steps:
                _execute(step, values)
                if note:
                    _tell(step, values, note)
                for key in step.last:
                    del values[key]
        result = values[self.output]
        assert isinstance(result, Tensor)
        return result


def rounded(value: Tensor, kind: str) -> Tensor:
    """The value as a declared type holds it."""
    if kind == "fp16":
        return value.half().float()
    return value.to(_KINDS.get(kind, torch.int32))


def declared(var: Any) -> Declared:
    """What the program says of a value."""
    from coremltools.converters.mil.mil import types

    shape = tuple(None if types.symbolic.is_symbolic(size) else int(size) for size in var.shape or ())
    return Declared(id(var), str(var.name), types.builtin_to_string(var.dtype), shape)


def constant(value: Any) -> Value:
    """A constant of the program; of what is no array or string, as a list of class names, nothing is kept."""
    if isinstance(value, str):
        return value
    if not isinstance(value, np.ndarray | np.generic | float | int | bool):
        return None
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return str(array)
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    if array.dtype.kind == "b":
        return torch.from_numpy(array.astype(bool))
    return torch.from_numpy(array.astype(np.int32 if array.dtype.itemsize > 1 else array.dtype.str))


def _refuse_unknown(operations: Sequence[Any]) -> None:
    """Name every operator that is not known, with the first layer that uses it."""
    unknown: dict[str, str] = {}
    for op in operations:
        if op.op_type not in OPERATORS or op.blocks:
            unknown.setdefault(op.op_type, op.name)
    if unknown:
        told = ", ".join(f"{operator} (first in layer {layer})" for operator, layer in sorted(unknown.items()))
        raise VerificationFailed(f"the interpreter does not know the operators {told}; verify on macOS")


def _steps(operations: Sequence[Any], output: Key) -> Iterator[Step]:
    """The operations as steps, each with the values that nobody needs after it."""
    wired = [{name: _keys(var) for name, var in op.inputs.items()} for op in operations]
    last = {key: i for i, wires in enumerate(wired) for key in _read(wires)}
    for i, (op, wires) in enumerate(zip(operations, wired, strict=True)):
        outputs = tuple(declared(var) for var in op.outputs)
        ended = {key for key in _read(wires) if last[key] == i} | {out.key for out in outputs if out.key not in last}
        yield Step(op.op_type, op.name, OPERATORS[op.op_type], wires, outputs, tuple(ended - {output}))


def _keys(var: Any) -> Key | tuple[Key, ...] | None:
    if isinstance(var, list | tuple):
        return tuple(id(each) for each in var)
    return None if var is None else id(var)


def _read(wires: Wires) -> Iterator[Key]:
    for keys in wires.values():
        yield from (keys,) if isinstance(keys, Key) else keys or ()


def _execute(step: Step, values: dict[Key, Value]) -> None:
    """Compute one step's results, as its program declares them."""
    try:
        found = step.function(Arguments({name: _value(keys, values) for name, keys in step.inputs.items()}))
    except UnknownFormError as form:
        told = f"{form} of the operator {step.operator} in layer {step.layer}"
        raise VerificationFailed(f"the interpreter does not know {told}; verify on macOS") from form
    except (IndexError, RuntimeError, TypeError, ValueError) as failure:
        reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        raise VerificationFailed(f"layer {step.layer}: {step.operator} cannot be computed: {reason}") from failure
    results = found if isinstance(found, tuple) else (found,)
    for result, out in zip(results, step.outputs, strict=True):
        if not _fits(result, out):
            raise VerificationFailed(
                f"layer {step.layer}: {step.operator} gives {tuple(result.shape)} where the program says {out.shape}"
            )
        values[out.key] = result if step.operator in EXACT and out.kind == "fp16" else rounded(result, out.kind)


def _tell(step: Step, values: Mapping[Key, Value], note: Callable[[str, Tensor], object]) -> None:
    for out in step.outputs:
        value = values[out.key]
        if isinstance(value, Tensor):
            note(out.name, value)


def _fits(result: Tensor, out: Declared) -> bool:
    """Whether a result has the declared shape."""
    return result.dim() == len(out.shape) and all(
        size in (None, real) for size, real in zip(out.shape, result.shape, strict=True)
    )


def _value(keys: Key | tuple[Key, ...] | None, values: Mapping[Key, Value]) -> Value:
    if keys is None or isinstance(keys, Key):
        return None if keys is None else values[keys]
    return tuple(value for value in (values[key] for key in keys) if isinstance(value, Tensor))
