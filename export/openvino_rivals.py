"""What OpenVINO's own compression tool, nncf, makes of the float backbone: to be measured beside ours.

`int8-nncf` is `nncf.quantize` as it comes, `int8t-nncf` the same told that the model is a transformer, as its manual
recommends, and `int8w-nncf` is `nncf.compress_weights`, which leaves the arithmetic float.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from .. import libraries
from ..errors import UserError
from ..models.backbone import Backbone
from ..models.data import Batches
from .artifact import Artifact
from .options import DEFAULTS, Options
from .to_openvino import convert, save

IMAGES = 1000
"""More calibration images than nncf is ever given here: it takes all there are."""


def rivals(original: Backbone, folder: Path, options: Options = DEFAULTS, batches: Batches = ()) -> list[Artifact]:
    """An artifact of each way, in a folder of its own."""
    nncf = libraries.nncf()
    plain = convert(original, replace(options, batch=None))
    quantize = partial(nncf.quantize, calibration_dataset=nncf.Dataset(_images(batches)), subset_size=IMAGES)
    ways: dict[str, Callable[[Any], Any]] = {
        "int8-nncf": quantize,
        "int8t-nncf": partial(quantize, model_type=nncf.ModelType.TRANSFORMER),
        "int8w-nncf": nncf.compress_weights,
    }
    made = []
    for name, compress in ways.items():
        with _same_draws(), redirect_stdout(StringIO()):  # it draws its progress there, whatever it is told
            model = compress(plain.clone())
        if options.batch is not None:
            model.reshape([options.batch, *original.preprocessing.input_size])
        made.append(save(model, folder / name, name))
    return made


def _images(batches: Batches) -> list[Any]:
    """The images one by one, as nncf counts them."""
    images = [image[None] for batch in batches for image in batch.numpy()]
    if not images:
        raise UserError("nncf needs images to calibrate with; give at least one")
    return images


@contextmanager
def _same_draws() -> Iterator[None]:
    """The global generators, which nncf draws from: seeded for it, and put back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  (it is nncf that uses the old generator)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (likewise)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002  (likewise)
