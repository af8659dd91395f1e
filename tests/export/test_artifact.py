import hashlib
from pathlib import Path

import pytest

from vitc.export.artifact import artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "package"
    (made / "weights").mkdir(parents=True)
    (made / "model.xml").write_bytes(b"graph")
    (made / "weights" / "a.bin").write_bytes(b"1234")
    return made


def test_a_file_is_named_weighed_and_hashed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"content")
    made = artifact("int8", "onnx", path)
    assert (made.name, made.format, made.precision, made.path) == ("int8/onnx", "onnx", "int8", path)
    assert (made.bytes, made.sha256) == (7, hashlib.sha256(b"content").hexdigest())


def test_a_folder_is_weighed_and_hashed_with_all_its_files(folder: Path) -> None:
    made = artifact("int4", "coreml", folder)
    assert made.bytes == 9
    assert artifact("int4", "coreml", folder) == made


def test_a_folder_hashes_the_same_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    before = artifact("int8", "coreml", folder).sha256
    moved = folder.rename(tmp_path / "elsewhere")
    assert artifact("int8", "coreml", moved).sha256 == before


def test_a_changed_byte_or_name_changes_the_hash(folder: Path) -> None:
    hashes = [artifact("int8", "coreml", folder).sha256]
    (folder / "weights" / "a.bin").write_bytes(b"1235")
    hashes.append(artifact("int8", "coreml", folder).sha256)
    (folder / "weights" / "a.bin").rename(folder / "weights" / "b.bin")
    hashes.append(artifact("int8", "coreml", folder).sha256)
    assert len(set(hashes)) == 3


def test_an_xml_has_its_weights_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_bytes(b"graph")
    path.with_suffix(".bin").write_bytes(b"1234")
    first = artifact("int8", "openvino", path)
    assert first.bytes == 9
    path.with_suffix(".bin").write_bytes(b"4321")
    assert artifact("int8", "openvino", path).sha256 != first.sha256
