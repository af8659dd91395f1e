import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitc.errors import NotAvailable, UserError, VerificationFailed
from vitc.runtimes import mil_package as reader

coremltools = pytest.importorskip("coremltools")
mb = pytest.importorskip("coremltools.converters.mil").Builder
mil = pytest.importorskip("coremltools.converters.mil.mil")

Save = Callable[..., Path]
NOTES = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


def convert(build: Any, inputs: list[Any], folder: Path, notes: dict[str, str], batch: Any = 1) -> Path:
    specs = [mb.TensorSpec((batch, 3, 4, 6), dtype=mil.types.fp32) for _ in inputs]
    model = coremltools.convert(
        mb.program(input_specs=specs, opset_version=coremltools.target.iOS17)(build),
        inputs=inputs,
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target.iOS17,
        skip_model_load=True,
    )
    model.user_defined_metadata.update(notes)
    model.save(str(folder / "model.mlpackage"))
    return folder / "model.mlpackage"


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = coremltools.ImageType("x", shape=(1, 3, 4, 6), color_layout=coremltools.colorlayout.RGB, scale=1 / 255)
    notes = {"vitc.preprocessing": json.dumps(NOTES)}
    return convert(lambda x: mb.relu(x=x), [picture], tmp_path_factory.mktemp("picture"), notes)


def test_a_package_tells_what_it_takes_and_gives(mil_package: Save) -> None:
    package = reader.open_package(mil_package(lambda x: mb.relu(x=x, name="logits"), (1, 3, 4, 6)))
    assert (package.input, package.input_shape, package.image) == ("x", (1, 3, 4, 6), False)
    assert package.output == "logits"
    assert "com.github.apple.coremltools.version" in package.metadata
    assert [op.op_type for op in reader.main_function(package).operations] == ["relu"]


def test_a_free_batch_is_told(tmp_path: Path) -> None:
    ranged = coremltools.TensorType("x", shape=(coremltools.RangeDim(1, 8), 3, 4, 6))
    listed = coremltools.TensorType("x", shape=coremltools.EnumeratedShapes([(1, 3, 4, 6), (2, 3, 4, 6)]))
    for name, kind in (("ranged", ranged), ("listed", listed)):
        (tmp_path / name).mkdir()
        path = convert(lambda x: mb.relu(x=x), [kind], tmp_path / name, {}, mil.get_new_symbol())
        assert reader.open_package(path).input_shape == (None, 3, 4, 6)


def test_an_image_input_is_fed_whole_pixels(pictured: Path) -> None:
    package = reader.open_package(pictured)
    assert package.image
    assert package.input_shape == (1, 3, 4, 6)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 6)).astype(np.float32)
    mean, std = (np.array(NOTES[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
    prepared = ((pixels / 255 - mean) / std).astype(np.float32)
    assert np.array_equal(package.pixels(prepared), pixels)
    assert np.array_equal(package.pixels(prepared + np.float32(0.2 / 255)), pixels), "rounded to the nearest"
    wild = package.pixels(prepared * 9)
    assert (wild.min(), wild.max()) == (0, 255)


def test_an_image_input_without_notes_cannot_be_fed(tmp_path: Path) -> None:
    picture = coremltools.ImageType("x", shape=(1, 3, 4, 6))
    path = convert(lambda x: mb.relu(x=x), [picture], tmp_path, {})
    with pytest.raises(VerificationFailed, match=r"lack vitc\.preprocessing"):
        reader.open_package(path)


def test_an_image_of_other_colours_is_refused(tmp_path: Path) -> None:
    picture = coremltools.ImageType("x", shape=(1, 3, 4, 6), color_layout=coremltools.colorlayout.BGR)
    with pytest.raises(VerificationFailed, match="not RGB or gray"):
        reader.open_package(convert(lambda x: mb.relu(x=x), [picture], tmp_path, {}))


def test_one_input_and_one_output_is_what_can_be_scored(tmp_path: Path) -> None:
    kind = [coremltools.TensorType(name, shape=(1, 3, 4, 6)) for name in ("x", "y")]
    (tmp_path / "two").mkdir()
    with pytest.raises(VerificationFailed, match="takes 2 inputs"):
        reader.open_package(convert(lambda x, y: mb.add(x=x, y=y), kind, tmp_path / "two", {}))
    with pytest.raises(VerificationFailed, match="gives 2 tensors"):
        reader.open_package(convert(lambda x: (mb.relu(x=x), mb.exp(x=x)), kind[:1], tmp_path, {}))


def test_a_missing_package_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        reader.open_package(tmp_path / "model.mlpackage")


def test_a_broken_package_is_refused_in_one_line(mil_package: Save) -> None:
    table = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    path = mil_package(lambda x: mb.matmul(x=x, y=table), (1, 64))
    data = path / "Data" / "com.apple.CoreML"
    for file in (data / "weights" / "weight.bin", data / "model.mlmodel", path / "Manifest.json"):
        whole = file.read_bytes()
        for content in (None, b"", b"not a model", whole[: len(whole) // 2]):
            file.unlink()
            if content is not None:
                file.write_bytes(content)
            with pytest.raises(VerificationFailed) as told:
                reader.main_function(reader.open_package(path))
            assert "\n" not in str(told.value)
            file.write_bytes(whole)
    assert reader.main_function(reader.open_package(path)).operations


def test_a_neural_network_is_no_program(mil_package: Save) -> None:
    path = mil_package(lambda x: mb.relu(x=x), (1, 2))
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    model = coremltools.proto.Model_pb2.Model.FromString(file.read_bytes())
    model.neuralNetwork.SetInParent()
    file.write_bytes(model.SerializeToString())
    with pytest.raises(VerificationFailed, match="holds a neuralNetwork; an ML program is needed"):
        reader.main_function(reader.open_package(path))


def test_without_coremltools_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(NotAvailable, match="pip install coremltools"):
        reader.open_package(tmp_path)
