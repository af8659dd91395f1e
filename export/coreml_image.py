"""An image for an input, and class names for outputs: what Apple's Vision framework expects of a classifier.

The program then takes pixels from 0 to 255 and normalizes them itself; resizing and cropping stay the caller's. It
gives the likeliest class and the probability of each, and the logits beside them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind, OutputSpec, TensorArgument

from ..errors import UserError
from ..models.backbone import Preprocessing
from .coreml_rewrites import constant

LAYOUTS = {1: "GRAYSCALE", 3: "RGB"}
"""How Core ML calls an image of so many channels; it knows no others."""
LABEL, PROBABILITIES = "label", "probabilities"

aten = torch.ops.aten


def normalize(program: ExportedProgram, preprocessing: Preprocessing) -> None:
    """Have the program take pixels: (x / 255 - mean) / std as one multiplication and one addition a channel."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    (name,) = (spec.arg.name for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT)
    graph = program.graph
    image = next(node for node in graph.nodes if node.name == name)
    readers = list(image.users)
    with graph.inserting_before(readers[0]):
        factor, shift = constant(program.graph_module, 1 / (255 * std)), constant(program.graph_module, -mean / std)
        scaled = graph.call_function(aten.mul.Tensor, (image, factor))
        normal = graph.call_function(aten.add.Tensor, (scaled, shift))
    for node in (scaled, normal):
        node.meta["val"] = image.meta["val"]
    for reader in readers:
        reader.replace_input_with(image, normal)
    program.graph_module.recompile()


def add_probabilities(program: ExportedProgram) -> None:
    """Have the program give the softmax of its logits too."""
    graph = program.graph
    end = graph.output_node()
    (logits,) = end.args[0]
    with graph.inserting_before(end):
        shares = graph.call_function(aten.softmax.int, (logits, -1))
    shares.meta["val"] = logits.meta["val"]
    end.args = ((logits, shares),)
    program.graph_signature.output_specs.append(
        OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(name=shares.name), target=None)
    )
    program.graph_module.recompile()


def labels(classes: Sequence[str]) -> list[str]:
    """The class names, each once: those that several classes share are told apart by the number of the class."""
    count = Counter(classes)
    return [name if count[name] == 1 else f"{name} ({index})" for index, name in enumerate(classes)]


def image_type(ct: Any, name: str, shape: Sequence[int]) -> Any:
    """The input's type."""
    if shape[1] not in LAYOUTS:
        raise UserError(f"an image of {shape[1]} channels is none that Core ML knows; leave the input a tensor")
    return ct.ImageType(name=name, shape=tuple(shape), color_layout=ct.colorlayout[LAYOUTS[shape[1]]])


def classify(ct: Any, program: Any, classes: Sequence[str], common: Mapping[str, Any]) -> Any:
    """A model of a translated program that names the classes.

    A step of its own: coremltools 9 adds the label to the outputs, but not to the list of their types, and then reads
    beyond its end. By now the program's outputs have their types, and the list may go.
    """
    program.functions["main"].output_types = None
    naming = ct.ClassifierConfig(
        labels(classes), predicted_feature_name=LABEL, predicted_probabilities_output=PROBABILITIES
    )
    return ct.convert(program, convert_to="mlprogram", classifier_config=naming, **common)
