import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vitc.export import coreml_package
from vitc.libraries import coremltools

pytest.importorskip("coremltools")
DATED = "com.github.apple.coremltools.conversion_date"


def spec(notes: Mapping[str, str]) -> Any:
    model = coremltools().proto.Model_pb2.Model()
    model.specificationVersion = 8
    model.description.metadata.userDefined.update(notes)
    return model


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "made" / "weights"
    folder.mkdir(parents=True)
    (folder / "weight.bin").write_bytes(bytes(range(256)))
    return folder


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_the_package_has_core_ml_s_folders(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    coreml_package.save(spec({}), weights, {"vitc.name": "a"}, path)
    files = content(path)
    manifest = json.loads(files.pop("Manifest.json"))
    assert files.keys() == {"Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"}
    assert files["Data/com.apple.CoreML/weights/weight.bin"] == bytes(range(256))
    entries = manifest["itemInfoEntries"]
    assert entries[manifest["rootModelIdentifier"]]["path"] == "com.apple.CoreML/model.mlmodel"
    assert {entry["path"] for entry in entries.values()} == {
        "com.apple.CoreML/model.mlmodel",
        "com.apple.CoreML/weights",
    }
    assert all((path / "Data" / entry["path"]).exists() for entry in entries.values())


def test_our_notes_replace_those_of_coremltools(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    coreml_package.save(spec({DATED: "2026-01-01"}), weights, {"vitc.name": "a"}, path)
    loaded = coremltools().models.MLModel(str(path), skip_model_load=True)
    assert dict(loaded.user_defined_metadata) == {"vitc.name": "a"}


def test_the_order_of_tables_does_not_show(weights: Path, tmp_path: Path) -> None:
    notes = {f"note {number}": str(number) for number in range(50)}
    turned = dict(reversed(notes.items()))
    for name, given in (("a", notes), ("b", turned)):
        coreml_package.save(spec({}), weights, given, tmp_path / f"{name}.mlpackage")
    assert content(tmp_path / "a.mlpackage") == content(tmp_path / "b.mlpackage")


def test_other_models_have_other_identifiers(weights: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        coreml_package.save(spec({}), weights, {"vitc.name": name}, tmp_path / f"{name}.mlpackage")
    manifests = [json.loads(content(tmp_path / f"{name}.mlpackage")["Manifest.json"]) for name in ("a", "b")]
    assert not manifests[0]["itemInfoEntries"].keys() & manifests[1]["itemInfoEntries"].keys()


def test_a_package_that_was_there_is_replaced_whole(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    path.mkdir()
    (path / "executorch_debug_handle_mapping.json").write_text("{}")
    coreml_package.save(spec({}), weights, {}, path)
    assert {file.name for file in path.iterdir()} == {"Data", "Manifest.json"}


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.mlpackage"
    with pytest.raises(FileNotFoundError):
        coreml_package.save(spec({}), tmp_path / "nowhere", {}, path)
    assert not list(tmp_path.iterdir())
