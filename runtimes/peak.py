"""How fast an engine multiplies at most on this machine: a bound for everything that it runs there.

The engine's own product of two matrices that fit into its caches, in floats and in 8-bit codes, and of many short tries
the quickest: a machine that is busy meanwhile slows most of them, hardly ever all.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from . import RUNTIMES, Runtime, Session, ort, ov
from .audit import audit

ROWS, INNER, COLUMNS = 256, 512, 512
MACS = ROWS * INNER * COLUMNS
SECONDS = 0.08
"""Of tries for each product and number of threads."""
FEWEST = 3
FLOATS = "y = MatMul(x, matrix)"
CODES = """
q = QuantizeLinear(x, step, zero)
left = DequantizeLinear(q, step, zero)
right = DequantizeLinear <axis = 1> (codes, steps, zeros)
y = MatMul(left, right)
"""
"""The product as `onnx` artifacts hold it."""


@dataclass(frozen=True)
class Peak:
    """Multiply-adds a second, and the precision that they really ran in."""

    runtime: str
    precision: str
    threads: int
    macs_per_second: float


def measure(engines: Sequence[str], threads: Sequence[int]) -> list[Peak]:
    """The peaks of those of the engines that the products can be written for."""
    factor = np.random.default_rng(1).standard_normal((ROWS, INNER), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        products = [_product(Path(folder) / f"{number}.onnx", nodes) for number, nodes in enumerate((FLOATS, CODES))]
        found = [
            Peak(name, precision, count, MACS / _quickest(partial(RUNTIMES[name].open, file, count), factor))
            for name in engines
            for file in _files(name, products)
            for precision in [_precision(RUNTIMES[name], file, factor)]
            for count in threads
        ]
        return _highest(found)


def _files(engine: str, products: Iterable[Path]) -> Iterator[Path]:
    """The products in the format that the engine reads."""
    for product in products:
        if engine == ort.NAME:
            yield product
        elif engine == ov.NAME:
            openvino = libraries.openvino()
            openvino.save_model(openvino.Core().read_model(product), product.with_suffix(".xml"), False)  # noqa: FBT003  (floats as they are)
            yield product.with_suffix(".xml")


def _precision(runtime: Runtime, file: Path, factor: NDArray[np.float32]) -> str:
    assert runtime.executed is not None  # both engines of `_files` tell
    shares = audit(runtime.executed(file, factor), {}).macs_pct
    return max(shares, key=lambda precision: shares[precision])


def _quickest(open_: Callable[[], Session], factor: NDArray[np.float32]) -> float:
    """Seconds of the quickest of many products."""
    times: list[float] = []
    with open_() as session:
        session.run(factor)
        end = time.perf_counter() + SECONDS
        while len(times) < FEWEST or time.perf_counter() < end:
            start = time.perf_counter()
            session.run(factor)
            times.append(time.perf_counter() - start)
    return min(times)


def _highest(peaks: Iterable[Peak]) -> list[Peak]:
    """One a precision and number of threads: where codes ran as floats, or floats as codes, there are two."""
    best: dict[tuple[str, str, int], Peak] = {}
    for peak in peaks:
        key = peak.runtime, peak.precision, peak.threads
        if key not in best or best[key].macs_per_second < peak.macs_per_second:
            best[key] = peak
    return list(best.values())


def _product(path: Path, nodes: str) -> Path:
    """A file that multiplies its input by a stored matrix."""
    import onnx
    from onnx.numpy_helper import from_array

    random = np.random.default_rng(0)
    stored = {
        "matrix": random.standard_normal((INNER, COLUMNS), dtype=np.float32),
        "codes": random.integers(-63, 64, (INNER, COLUMNS)).astype(np.int8),
        "steps": np.full(COLUMNS, 0.01, np.float32),
        "zeros": np.zeros(COLUMNS, np.int8),
        "step": np.float32(0.03),
        "zero": np.uint8(128),
    }
    ends = f"product (float[{ROWS}, {INNER}] x) => (float[{ROWS}, {COLUMNS}] y)"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {ends} {{ {nodes} }}')
    model.graph.initializer.extend(
        from_array(np.asarray(value), name) for name, value in stored.items() if name in nodes
    )
    onnx.save(model, path)
    return path
