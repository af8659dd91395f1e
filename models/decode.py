"""From an image set to pixels: decoded once, by timm's own evaluation transform, into a file that is memory-mapped."""

import hashlib
import json
import mmap
import multiprocessing
import os
import signal
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
import PIL.ImageFile
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..atomic import replacing
from ..errors import NotAvailable, UserError
from . import demo_images
from .backbone import Preprocessing
from .data import Batches, Image, ImageSet
from .timm_ready import timm

MODES = {1: "L", 3: "RGB"}
"""Channels of a backbone's input -> PIL's name of such an image."""

MAX_UNREADABLE = 0.01
"""The share of a set's images that may be unreadable."""

MAX_ELONGATION = 1000
"""An image this many times longer than wide would be resized to gigabytes."""

CHUNK = 16
"""Images that a worker decodes before it answers."""

# What Pillow's readers raise on files that are not what they should be; broken ones surprise them in many ways.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError, OverflowError),
    *(struct.error, zlib.error, PIL.Image.DecompressionBombError),
)

# Forking takes no time, where spawning imports torch anew in each worker (seconds). It is safe here because a worker
# runs no parallel region of torch: it only views the bytes that Pillow made. On macOS system libraries forbid it.
START = "fork" if sys.platform == "linux" else "spawn"


@dataclass(frozen=True, eq=False)
class Pixels:
    """Decoded images: bytes on disk, floats when they are asked for."""

    pixels: NDArray[np.uint8]
    """[N, C, H, W], memory-mapped."""
    labels: NDArray[np.int64] | None
    kept: tuple[str, ...]
    """Names of the images, one a row."""
    unreadable: tuple[str, ...]
    """Names of the images that were left out."""
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.kept)

    def digest(self) -> str:
        """A hash of the images, their labels and their order."""
        found = hashlib.sha256(json.dumps(self.kept).encode())
        found.update(np.ascontiguousarray(self.pixels).data)
        found.update(b"" if self.labels is None else self.labels.tobytes())
        return found.hexdigest()

    def first(self, count: int) -> "Pixels":
        """The first `count` images."""
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, pixels=self.pixels[:count], labels=labels, kept=self.kept[:count])

    def batches(self, size: int) -> Batches:
        """The images as the backbone expects them, `size` at a time."""
        return _Normalized(self.pixels, self.preprocessing, size)


@dataclass(frozen=True, eq=False)
class _Normalized:
    """Iterates over pixels in batches of normalized floats, as often as one likes."""

    pixels: NDArray[np.uint8]
    preprocessing: Preprocessing
    size: int

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.pixels), self.size):
            yield self._floats(self.pixels[start : start + self.size])

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.pixels)

    def at(self, places: Sequence[int]) -> Tensor:
        """The images at these places."""
        return self._floats(self.pixels[list(places)])

    def _floats(self, pixels: NDArray[np.uint8]) -> Tensor:
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.preprocessing.mean, self.preprocessing.std))
        batch = torch.from_numpy(np.array(pixels))
        _let_go(self.pixels)
        return batch.float().div_(255).sub_(mean).div_(std)


def _let_go(pixels: NDArray[np.uint8]) -> None:
    """Take the pages that were read out of this process's memory, where the system can: the file stays mapped."""
    base: object = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def decode(
    images: ImageSet, preprocessing: Preprocessing, into: Path, workers: int, progress: Callable[[int], None]
) -> Pixels:
    """Decode a set in `workers` processes into the folder `into`, which is whole or not there.

    `progress` is told of every image that is done. Unreadable images are left out and named; too many are an error.
    """
    kept: list[Image] = []
    unreadable: list[str] = []
    into.parent.mkdir(parents=True, exist_ok=True)
    with replacing(into) as folder:
        folder.mkdir()
        # Plain writes: a full disk is an error here, where writing to a memory map would kill the process.
        with (folder / "pixels.npy").open("wb") as file, closing(_rows(images, preprocessing, workers)) as rows:
            _write_header(file, 0, preprocessing)
            for image, row in zip(images.images, rows, strict=True):
                if row is None:
                    unreadable.append(image.name)
                else:
                    kept.append(image)
                    file.write(row)
                progress(1)
            file.seek(0)
            _write_header(file, len(kept), preprocessing)
        _refuse_many(unreadable, images)
        index = {
            "names": [image.name for image in kept],
            "labels": None if any(image.label is None for image in kept) else [image.label for image in kept],
            "unreadable": unreadable,
            "preprocessing": preprocessing.to_json(),
        }
        (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return opened(into)


def opened(into: Path) -> Pixels:
    """What `decode` left in a folder."""
    index: dict[str, Any] = json.loads((into / "index.json").read_text(encoding="utf-8"))
    labels = index["labels"]
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in index["preprocessing"].items()}
    return Pixels(
        pixels=np.load(into / "pixels.npy", mmap_mode="r", allow_pickle=False),
        labels=None if labels is None else np.array(labels, dtype=np.int64),
        kept=tuple(index["names"]),
        unreadable=tuple(index["unreadable"]),
        preprocessing=Preprocessing(**fields),
    )


def _write_header(file: BinaryIO, rows: int, preprocessing: Preprocessing) -> None:
    """A .npy header; numpy pads it so that another number of rows fits in its place."""
    shape = (rows, *preprocessing.input_size)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _refuse_many(unreadable: list[str], images: ImageSet) -> None:
    if len(unreadable) > MAX_UNREADABLE * len(images):
        named = ", ".join(unreadable[:3]) + (", …" if len(unreadable) > 3 else "")
        raise UserError(
            f"{len(unreadable)} of {len(images)} images of {images.source} are missing or cannot be decoded ({named}), "
            f"at most {MAX_UNREADABLE:.0%} may be: mend or remove them"
        )


def _rows(images: ImageSet, preprocessing: Preprocessing, workers: int) -> Generator[bytes | None, None, None]:
    """Each image's bytes in order, or None; whatever ends the generator ends its workers too."""
    if preprocessing.input_size[0] not in MODES:
        raise UserError(f"the model takes images of {preprocessing.input_size[0]} channels: 1 and 3 can be decoded")
    row = partial(_row, preprocessing)
    workers = min(workers, -(-len(images) // CHUNK))
    if workers <= 1:
        yield from map(row, images.images)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(START), initializer=_be_a_worker)
    try:
        yield from pool.map(row, images.images, chunksize=CHUNK)
    except BrokenProcessPool as failure:
        raise NotAvailable(
            "a process that decodes images was killed, for want of memory as a rule: free memory or use fewer workers"
        ) from failure
    finally:
        pool.shutdown(cancel_futures=True)


def _be_a_worker() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _row(preprocessing: Preprocessing, image: Image) -> bytes | None:
    """The bytes [C, H, W] of an image, or None where it cannot be read."""
    try:
        mode = MODES[preprocessing.input_size[0]]
        picture = _drawn(image.name, mode) if image.path is None else _read(image.path, mode)
    except UNREADABLE:
        return None
    return _transform(preprocessing)(picture).numpy().tobytes()


def _drawn(name: str, mode: str) -> PIL.Image.Image:
    _, seed, index = name.split("/")
    return PIL.Image.fromarray(demo_images.draw(int(seed), int(index))).convert(mode)


def _read(path: Path, mode: str) -> PIL.Image.Image:
    """The first frame of a file, whole, with 8 bits a channel. Like timm, heeds no EXIF orientation and drops alpha."""
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False  # Some libraries set it, and then half an image passes for one.
    with warnings.catch_warnings(), PIL.Image.open(path) as picture:
        warnings.simplefilter("ignore")
        if max(picture.size) > MAX_ELONGATION * min(picture.size):
            raise ValueError("too elongated")
        if picture.mode == "I" or picture.mode.startswith("I;16"):
            wide = np.asarray(picture).clip(0, 65535).astype(np.uint32)
            return PIL.Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert(mode)
        return picture.convert(mode)


@lru_cache
def _transform(preprocessing: Preprocessing) -> Callable[[PIL.Image.Image], Tensor]:
    """The transform of timm up to bytes: floats are made from them batch by batch."""
    transform: Callable[[PIL.Image.Image], Tensor] = timm.data.transforms_factory.create_transform(
        preprocessing.input_size,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_pct=preprocessing.crop_pct,
        crop_mode=preprocessing.crop_mode,
        normalize=False,
    )
    return transform
