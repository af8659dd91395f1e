import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitc.compress.quantize import Quantize
from vitc.export import drift, to_coreml
from vitc.export.options import Options
from vitc.models import load
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm
from vitc.runtimes import eager, mil

coremltools = pytest.importorskip("coremltools")
mb = pytest.importorskip("coremltools.converters.mil").Builder

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, of copying a program
SIZE = (3, 32, 32)
IMAGES = np.random.default_rng(0).standard_normal((5, *SIZE), dtype=np.float32)


@pytest.fixture(scope="module")
def vit() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 7}
    module = timm.create_model("vit_tiny_patch16_224", **small).eval()
    return Backbone("tiny", module, Preprocessing(SIZE), 7, tuple("abcdefg"), "abc")


@pytest.fixture(scope="module")
def quantized(vit: Backbone) -> dict[int, Backbone]:
    samples = [torch.from_numpy(IMAGES)]
    return {bits: Quantize(weight_bits=bits, scheme="symmetric").apply(vit, samples) for bits in (8, 4, 2)}


@pytest.fixture(scope="module")
def plain(vit: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_coreml.write(vit, tmp_path_factory.mktemp("plain")).path


@pytest.fixture(scope="module")
def several(vit: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_coreml.write(vit, tmp_path_factory.mktemp("several"), Options(batch=5)).path


def answers(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with mil.MilSession(path, threads=1) as session:
        return np.concatenate([session.run(images[i : i + 1]) for i in range(len(images))])


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    products = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(products.min())


def test_a_session_tells_what_it_holds(plain: Path) -> None:
    with mil.MilSession(plain) as session:
        assert session.input_shape == (1, *SIZE)
        assert session.metadata["vitc.weights_sha256"] == "abc"
        assert json.loads(session.metadata["vitc.classes"]) == list("abcdefg")
        assert session.run(IMAGES[:1]).shape == (1, 7)
        assert session.run(IMAGES[:1]).dtype == np.float32


def test_a_float_package_answers_as_torch(tmp_path: Path) -> None:
    demo = load("demo")
    images = np.random.default_rng(0).standard_normal((4, *demo.preprocessing.input_size), dtype=np.float32)
    found = answers(to_coreml.write(demo, tmp_path).path, images)
    assert cosine(found, eager.run(demo.module, images)) > 0.9999


def test_the_stock_converters_package_is_read_too(vit: Backbone, tmp_path: Path) -> None:
    program = torch.export.export(vit.module, (torch.zeros(1, *SIZE),)).run_decompositions({})
    model = coremltools.convert(program, minimum_deployment_target=coremltools.target.iOS17, skip_model_load=True)
    model.save(str(tmp_path / "stock.mlpackage"))
    assert cosine(answers(tmp_path / "stock.mlpackage", IMAGES), eager.run(vit.module, IMAGES)) > 0.9999


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_quantized_package_answers_as_the_simulation(
    bits: int, vit: Backbone, quantized: dict[int, Backbone], tmp_path: Path
) -> None:
    path = to_coreml.write(quantized[bits], tmp_path).path
    found, simulated = answers(path, IMAGES), eager.run(quantized[bits].module, IMAGES)
    assert cosine(found, simulated) > 0.999
    assert cosine(found, simulated) > cosine(found, eager.run(vit.module, IMAGES))
    program = trace(quantized[bits].module, SIZE)
    names = drift.layers(program)
    expected, seen = drift.values(program, names, IMAGES[:1]), mil.values(path, IMAGES[:1], names)
    assert set(seen) == set(expected)
    for name, value in expected.items():
        assert cosine(value.reshape(1, -1), seen[name].reshape(1, -1)) > 0.999


def test_a_fixed_batch_is_run_at_once(several: Path, vit: Backbone) -> None:
    with mil.MilSession(several) as session:
        assert session.input_shape == (5, *SIZE)
        assert cosine(session.run(IMAGES), eager.run(vit.module, IMAGES)) > 0.9999
    names = drift.layers(trace(vit.module, SIZE))
    assert names
    assert mil.values(several, IMAGES[:1], names) == {}
    assert mil.values(several, IMAGES, names)


def test_an_image_input_gets_the_pixels_of_prepared_images(vit: Backbone, tmp_path: Path) -> None:
    preprocessing = Preprocessing(SIZE, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    pixels = np.random.default_rng(1).integers(0, 256, (3, *SIZE)).astype(np.float32)
    prepared = ((pixels / 255 - mean) / std).astype(np.float32)
    path = to_coreml.write(replace(vit, preprocessing=preprocessing), tmp_path, Options(image_input=True)).path
    assert cosine(answers(path, prepared), eager.run(vit.module, prepared)) > 0.9999
    assert cosine(answers(path, prepared), eager.run(vit.module, pixels)) < 0.99


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_number_of_threads_holds_while_it_runs(
    two_threads: None, mil_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, seen = mil.MilSession(mil_package(lambda x: mb.relu(x=x), (1, 4)), threads=1), []
    run = session._plan.run

    def watched(*words: Any) -> Any:
        seen.append(torch.get_num_threads())
        return run(*words)

    monkeypatch.setattr(session._plan, "run", watched)
    session.run(np.ones((1, 4), dtype=np.float32))
    assert (seen, torch.get_num_threads()) == ([1], 2)


def test_it_runs_wherever_coremltools_is() -> None:
    assert mil.missing() is None
