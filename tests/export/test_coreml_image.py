from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitc.errors import UserError
from vitc.export import coreml_image, to_coreml
from vitc.export.options import Options
from vitc.libraries import coremltools
from vitc.models.backbone import Backbone, Preprocessing
from vitc.runtimes.mil_package import main_function, open_package

pytest.importorskip("coremltools")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec:FutureWarning")

PREPROCESSING = Preprocessing((3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def backbone(
    preprocessing: Preprocessing = PREPROCESSING, classes: tuple[str, ...] = ("cat", "dog", "cat")
) -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(preprocessing.input_size[0], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return Backbone("a", module.eval(), preprocessing, 3, classes, "abc")


def description(path: Path) -> Any:
    return coremltools().models.MLModel(str(path), skip_model_load=True).get_spec().description


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    return to_coreml.write(backbone(), folder, Options(image_input=True)).path


def test_pixels_in_the_program_are_what_the_backbone_takes() -> None:
    made, pixels = backbone(), torch.randint(0, 256, (1, 3, 8, 8)).float()
    program = to_coreml.translatable(made, 1)
    coreml_image.normalize(program, made.preprocessing)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std))
    with torch.no_grad():
        wanted = made.module((pixels / 255 - mean) / std)
        torch.testing.assert_close(program.module()(pixels), wanted, rtol=1e-4, atol=1e-5)


def test_probabilities_are_given_beside_the_logits() -> None:
    made, images = backbone(), torch.randn(1, 3, 8, 8)
    program = to_coreml.translatable(made, 1)
    coreml_image.add_probabilities(program)
    with torch.no_grad():
        logits = made.module(images)
        found: tuple[Tensor, ...] = program.graph_module(*program.state_dict.values(), images)
    torch.testing.assert_close(found, (logits, logits.softmax(1)))


def test_the_package_takes_a_picture_and_names_the_class(package: Path) -> None:
    found = description(package)
    (taken,) = found.input
    assert (taken.type.imageType.width, taken.type.imageType.height) == (8, 8)
    assert found.predictedFeatureName == coreml_image.LABEL
    assert [feature.name for feature in found.output] == ["label", "label_probs", "logits"]
    (classify,) = main_function(open_package(package)).find_ops(op_type="classify")
    assert list(classify.classes.val) == ["cat (0)", "dog", "cat (2)"]


def test_the_notes_say_that_it_takes_pixels(package: Path) -> None:
    notes = dict(description(package).metadata.userDefined)
    assert notes["vitc.input"] == "pixels"
    assert "0.25" in notes["vitc.preprocessing"]


def test_logits_alone_where_the_classes_have_no_names(tmp_path: Path) -> None:
    made = to_coreml.write(backbone(classes=()), tmp_path, Options(image_input=True))
    assert [feature.name for feature in description(made.path).output] == ["logits"]


def test_an_image_may_be_grey(tmp_path: Path) -> None:
    grey = backbone(Preprocessing((1, 8, 8), mean=(0.5,), std=(0.5,)))
    path = to_coreml.write(grey, tmp_path, Options(image_input=True)).path
    (taken,) = description(path).input
    assert taken.type.imageType.colorSpace == 10  # GRAYSCALE, in Core ML's specification


def test_an_image_of_two_channels_is_refused(tmp_path: Path) -> None:
    two = backbone(Preprocessing((2, 8, 8), mean=(0.5,), std=(0.5,)))
    with pytest.raises(UserError, match="2 channels"):
        to_coreml.write(two, tmp_path, Options(image_input=True))


def test_labels_are_told_apart() -> None:
    assert coreml_image.labels(["a", "b", "a"]) == ["a (0)", "b", "a (2)"]
    assert coreml_image.labels(["a", "b"]) == ["a", "b"]


def test_one_mean_may_stand_for_all_channels() -> None:
    made = backbone(Preprocessing((3, 8, 8), mean=(0.5,), std=(0.25,)))
    program = to_coreml.translatable(made, 1)
    coreml_image.normalize(program, made.preprocessing)
    pixels = torch.full((1, 3, 8, 8), 51.0)
    with torch.no_grad():
        wanted = made.module(torch.full((1, 3, 8, 8), -1.2)).numpy()
        np.testing.assert_allclose(program.module()(pixels).numpy(), wanted, rtol=1e-4, atol=1e-5)
