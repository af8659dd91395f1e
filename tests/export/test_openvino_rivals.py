import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitc import libraries
from vitc.errors import NotAvailable, UserError
from vitc.export import openvino_rivals, to_openvino
from vitc.export.options import Options
from vitc.models.backbone import Backbone, Preprocessing

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")
SIZE = (3, 8, 8)
IMAGES = torch.randn(6, *SIZE, generator=torch.Generator().manual_seed(0))
NAMES = ["int8-nncf/openvino", "int8t-nncf/openvino", "int8w-nncf/openvino"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 5))
    return Backbone("tiny", nn.Sequential(*layers).eval(), Preprocessing(SIZE), 5, (), "abc")


def batches() -> list[Tensor]:
    return list(IMAGES.split(4))


@pytest.fixture(scope="module")
def made(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = openvino_rivals.rivals(backbone, tmp_path_factory.mktemp("rivals"), batches=batches())
    assert [artifact.name for artifact in found] == NAMES
    return {artifact.precision: artifact.path for artifact in found}


def test_each_answers_about_as_torch(made: dict[str, Path], backbone: Backbone) -> None:
    with torch.no_grad():
        wanted = backbone.module(IMAGES).numpy()
    for path in made.values():
        found = openvino.Core().compile_model(path, "CPU")(IMAGES.numpy())[0]
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98


def test_two_compute_in_codes_and_one_only_stores_them(made: dict[str, Path]) -> None:
    for name, path in made.items():
        nodes = openvino.Core().read_model(path).get_ops()
        stored = {node.get_element_type().get_type_name() for node in nodes if node.get_type_name() == "Constant"}
        assert stored & {"i8", "u8"}
        rounds = any(node.get_type_name() == "FakeQuantize" for node in nodes)
        assert rounds == (name != "int8w-nncf")


def test_the_same_images_give_the_same_bytes(made: dict[str, Path], backbone: Backbone, tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  (the generator that nncf draws from)
    before = random.getstate()
    openvino_rivals.rivals(backbone, tmp_path, batches=batches())
    assert random.getstate() == before, "the caller's generator was disturbed"
    for name, path in made.items():
        for file in (to_openvino.FILE, to_openvino.WEIGHTS):
            assert (tmp_path / name / file).read_bytes() == (path.parent / file).read_bytes()


def test_what_must_travel_with_the_file_does(made: dict[str, Path]) -> None:
    for name, path in made.items():
        notes = openvino.Core().read_model(path).get_rt_info(to_openvino.NOTES).value
        assert (notes["vitc.name"], notes["vitc.precision"]) == ("tiny", name)


def test_a_fixed_batch_is_fixed(backbone: Backbone, tmp_path: Path) -> None:
    for artifact in openvino_rivals.rivals(backbone, tmp_path, Options(batch=2), batches()):
        assert list(openvino.Core().read_model(artifact.path).inputs[0].get_shape()) == [2, *SIZE]


def test_without_images_it_says_so(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give at least one"):
        openvino_rivals.rivals(backbone, tmp_path, batches=[])


def test_without_nncf_it_says_what_to_install(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    with pytest.raises(NotAvailable, match="pip install nncf"):
        openvino_rivals.rivals(backbone, tmp_path, batches=batches())
