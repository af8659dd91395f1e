"""How a target turns a calibrated range into integers: one row a scheme."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """An integer grid: x is about `scale * (code - zero_point)`, with codes from `lowest` to `highest`."""

    scale: float
    zero_point: int
    lowest: int
    highest: int

    @property
    def kind(self) -> str:
        """The byte that holds its codes."""
        return "int8" if self.lowest < 0 else "uint8"

    @property
    def fills_byte(self) -> bool:
        """Whether every byte is one of its codes; if not, values are held to its ends before they become bytes."""
        return self.highest - self.lowest == 255

    @property
    def ends(self) -> tuple[float, float]:
        """What the lowest and the highest code stand for."""
        return self.scale * (self.lowest - self.zero_point), self.scale * (self.highest - self.zero_point)


@dataclass(frozen=True)
class Scheme:
    """What a target's kernels take as activations; weights are signed, symmetric and per channel for all of them."""

    name: str
    signed: bool
    symmetric: bool

    def grid(self, low: float, high: float, bits: int) -> Grid:
        """The grid over [low, high], widened to hold zero exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.signed else (0, 2**bits - 1)
        if self.symmetric:
            scale = max(-low, high) / highest
            return Grid(_single(scale) or 1.0, 0, lowest, highest)
        scale = _single((high - low) / (highest - lowest)) or 1.0
        return Grid(scale, min(max(lowest - round(low / scale), lowest), highest), lowest, highest)


def _single(value: float) -> float:
    """The nearest 32-bit float: what the artifact will hold."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        # ONNX Runtime and OpenVINO on CPUs: bytes times signed bytes is their fastest kernel.
        Scheme("asymmetric", signed=False, symmetric=False),
        # TensorRT takes no other; Core ML's fast path is the same.
        Scheme("symmetric", signed=True, symmetric=True),
    )
}
