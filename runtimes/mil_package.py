"""A saved Core ML package: what it takes, what it gives, its notes, and its MIL program."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from ..errors import UserError, VerificationFailed

PREPROCESSING = "vitc.preprocessing"
_CHANNELS = {10: 1, 20: 3}
"""Of the colour spaces GRAYSCALE and RGB."""
_MULTI_ARRAY, _IMAGE = "multiArrayType", "imageType"


@dataclass(frozen=True, eq=False)
class Package:
    """An opened package. `image` says that it takes pixels from 0 to 255, with the preprocessing inside."""

    path: Path
    model: Any
    """coremltools' MLModel, not compiled."""
    input: str
    input_shape: tuple[int | None, ...]
    """None where the size is free."""
    image: bool
    output: str
    metadata: dict[str, str]

    def pixels(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What an image input is fed for prepared images: the same, as whole numbers from 0 to 255.

        The preprocessing of the notes is undone, so that a score on prepared images is one of what the device computes
        from the pixels.
        """
        notes = json.loads(self.metadata[PREPROCESSING])
        mean, std = (np.asarray(notes[name], dtype=np.float32).reshape(-1, 1, 1) for name in ("mean", "std"))
        whole: NDArray[np.float32] = np.rint((images * std + mean) * 255).clip(0, 255).astype(np.float32)
        return whole


def missing() -> str | None:
    """Why packages cannot be read here."""
    return libraries.missing("coremltools")


def open_package(path: Path) -> Package:
    """The package at `path`; nothing is compiled."""
    coremltools = libraries.coremltools()
    if not path.is_dir():
        raise UserError(f"{path} does not exist; give a .mlpackage folder")
    with named_failures(path):
        model = coremltools.models.MLModel(str(path), skip_model_load=True)
        description = model.get_spec().description
    if len(description.input) != 1:
        raise VerificationFailed(f"{path} takes {len(description.input)} inputs; one image is what vitc can feed")
    feature = description.input[0]
    kind = feature.type.WhichOneof("Type")
    package = Package(
        path=path,
        model=model,
        input=feature.name,
        input_shape=_shape(path, feature.type),
        image=kind == _IMAGE,
        output=_output(path, description),
        metadata=dict(description.metadata.userDefined),
    )
    if package.image and PREPROCESSING not in package.metadata:
        raise VerificationFailed(f"{path} takes an image, but its notes lack {PREPROCESSING}; export it with vitc")
    return package


def main_function(package: Package) -> Any:
    """The function that a prediction runs, of the package's MIL program with its weights."""
    libraries.coremltools()
    from coremltools.converters.mil.frontend.milproto.load import load

    with named_failures(package.path):
        spec = package.model.get_spec()
        if spec.WhichOneof("Type") != "mlProgram":
            raise VerificationFailed(f"{package.path} holds a {spec.WhichOneof('Type')}; an ML program is needed")
        functions = load(spec, spec.specificationVersion, package.model.weights_dir).functions
    return functions[spec.description.defaultFunctionName or "main"]


@contextmanager
def named_failures(path: Path, doing: str = "load") -> Iterator[None]:
    """Say in one line why coremltools cannot read or run a package; what it raises depends on what is broken."""
    from google.protobuf.message import DecodeError

    try:
        yield
    except (
        AssertionError,
        AttributeError,
        DecodeError,
        IndexError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as failure:
        reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        raise VerificationFailed(f"coremltools cannot {doing} {path}: {reason}") from failure


def _shape(path: Path, kind: Any) -> tuple[int | None, ...]:
    """The shape of an input, from its description."""
    if kind.WhichOneof("Type") == _IMAGE:
        image = kind.imageType
        if image.colorSpace not in _CHANNELS or image.WhichOneof("SizeFlexibility"):
            raise VerificationFailed(
                f"{path} takes an image that is not RGB or gray, or of any size; export it with vitc"
            )
        return (1, _CHANNELS[image.colorSpace], image.height, image.width)
    if kind.WhichOneof("Type") != _MULTI_ARRAY:
        raise VerificationFailed(
            f"{path} takes a {kind.WhichOneof('Type')}; a tensor or an image is what vitc can feed"
        )
    array = kind.multiArrayType
    flexible = array.WhichOneof("ShapeFlexibility")
    if flexible == "shapeRange":
        ranges = array.shapeRange.sizeRanges
        return tuple(size.lowerBound if size.lowerBound == size.upperBound else None for size in ranges)
    if flexible == "enumeratedShapes":
        shapes = [tuple(each.shape) for each in array.enumeratedShapes.shapes]
        return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))
    return tuple(array.shape)


def _output(path: Path, description: Any) -> str:
    """The name of the logits: the tensor, beside what a classifier says in words."""
    names = [feature.name for feature in description.output if feature.type.WhichOneof("Type") == _MULTI_ARRAY]
    if len(names) != 1:
        raise VerificationFailed(f"{path} gives {len(names)} tensors; one, the logits, is what vitc can score")
    return str(names[0])
