"""What a run knows of its model, its images and its artifacts, as the record has it."""

from dataclasses import asdict, replace

from .export import TARGETS
from .journal import digest
from .models.backbone import Backbone
from .models.data import ImageSet
from .models.decode import Pixels
from .reports import record as records
from .runtimes.energy import model as published


def model(backbone: Backbone) -> records.Model:
    """The backbone as it came."""
    preprocessing = backbone.preprocessing
    return records.Model(
        backbone.name, backbone.weights_sha256, preprocessing.input_size, digest(preprocessing.to_json())
    )


def data(images: ImageSet | None, pixels: Pixels | None) -> records.Data | None:
    """Those of a set that could be read; None where there was no set."""
    return records.Data(images.source, images.sha256, len(pixels)) if images and pixels else None


def modelled(row: records.Artifact, macs: dict[str, int]) -> records.Artifact:
    """An artifact with what its program would take on a chip of published tables."""
    found = published.modelled(macs, row.bytes, exact_floats=TARGETS[row.format].exact_floats)
    return replace(row, modelled=records.Modelled(**asdict(found)))
