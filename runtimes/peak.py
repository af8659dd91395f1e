"""How fast an engine multiplies at most on this machine: a bound for everything that it runs there.

The engine's own products of matrices that fit into its caches, in floats and in 8-bit codes, a few in a row; of many
tries the quickest. With one thread the processor's time counts where it is less than the clock's, so that other work on
the machine does not make the bound too tight.
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from . import RUNTIMES, Runtime, Session, ort, ov
from .audit import audit

ROWS, WIDTH, DEPTH = 256, 512, 6
MACS = ROWS * WIDTH * WIDTH * DEPTH
SECONDS = 0.08
"""Of tries for each file and number of threads."""
FEWEST = 3
FLOATS = "x{next} = MatMul(x{at}, matrix{at})"
CODES = """
q{at} = QuantizeLinear(x{at}, step, zero)
left{at} = DequantizeLinear(q{at}, step, zero)
right{at} = DequantizeLinear <axis = 1> (codes{at}, steps, zeros)
x{next} = MatMul(left{at}, right{at})
"""
"""One product of the row, as `onnx` artifacts hold it."""


@dataclass(frozen=True)
class Peak:
    """Multiply-adds a second, and the precision that they really ran in."""

    runtime: str
    precision: str
    threads: int
    macs_per_second: float


def measure(engines: Sequence[str], threads: Sequence[int]) -> list[Peak]:
    """The peaks of those of the engines that the products can be written for."""
    factor = np.random.default_rng(1).standard_normal((ROWS, WIDTH), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(Path(folder) / f"{number}.onnx", product) for number, product in enumerate((FLOATS, CODES))]
        found = []
        for name in engines:
            for file in _files(name, rows):
                precision = _precision(RUNTIMES[name], file, factor)
                for count in threads:
                    with RUNTIMES[name].open(file, count) as session:
                        seconds = _quickest(session, factor, alone=count == 1)
                    found.append(Peak(name, precision, count, MACS / seconds))
    return _highest(found)


def _files(engine: str, rows: Iterable[Path]) -> Iterator[Path]:
    """The products in the format that the engine reads."""
    for row in rows:
        if engine == ort.NAME:
            yield row
        elif engine == ov.NAME:
            openvino = libraries.openvino()
            openvino.save_model(openvino.Core().read_model(row), row.with_suffix(".xml"), compress_to_fp16=False)
            yield row.with_suffix(".xml")


def _precision(runtime: Runtime, file: Path, factor: NDArray[np.float32]) -> str:
    """What most of it runs in."""
    assert runtime.executed is not None  # both engines of `_files` tell
    shares = audit(runtime.executed(file, factor), {}).macs_pct
    return max(shares, key=lambda precision: shares[precision])


def _quickest(session: Session, factor: NDArray[np.float32], *, alone: bool) -> float:
    """Seconds of the quickest of many tries; of a thread alone, the processor's, where they are less."""
    clocks: list[Callable[[], float]] = [time.perf_counter, *([time.process_time] if alone else [])]
    tries: list[float] = []
    session.run(factor)
    end = time.perf_counter() + SECONDS
    while len(tries) < FEWEST or time.perf_counter() < end:
        starts = [clock() for clock in clocks]
        session.run(factor)
        tries.append(min(clock() - start for clock, start in zip(clocks, starts, strict=True)))
    return min(tries)


def _highest(peaks: Iterable[Peak]) -> list[Peak]:
    """One a precision and number of threads: where codes ran as floats there are two."""
    best: dict[tuple[str, str, int], Peak] = {}
    for peak in peaks:
        key = peak.runtime, peak.precision, peak.threads
        if key not in best or best[key].macs_per_second < peak.macs_per_second:
            best[key] = peak
    return list(best.values())


def _row(path: Path, product: str) -> Path:
    """A file that multiplies its input by a matrix, that by another, and so on: to enter and to leave costs little."""
    import onnx
    from onnx.numpy_helper import from_array

    nodes = " ".join(product.format(at=at, next=at + 1) for at in range(DEPTH))
    ends = f"row (float[{ROWS}, {WIDTH}] x0) => (float[{ROWS}, {WIDTH}] x{DEPTH})"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {ends} {{ {nodes} }}')
    read = set(re.findall(r"\w+", nodes))
    model.graph.initializer.extend(from_array(value, name) for name, value in _stored().items() if name in read)
    onnx.save(model, path)
    return path


def _stored() -> dict[str, NDArray[Any]]:
    """What the products read beside their input; every product has a matrix of its own, in floats and in codes."""
    random = np.random.default_rng(0)
    found: dict[str, NDArray[Any]] = {
        "steps": np.full(WIDTH, 0.01, np.float32),
        "zeros": np.zeros(WIDTH, np.int8),
        "step": np.array(0.03, np.float32),
        "zero": np.array(128, np.uint8),
    }
    for at in range(DEPTH):
        found[f"matrix{at}"] = random.standard_normal((WIDTH, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)
        found[f"codes{at}"] = random.integers(-63, 64, (WIDTH, WIDTH)).astype(np.int8)
    return found
