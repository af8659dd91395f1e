import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitc.errors import NotAvailable, VerificationFailed
from vitc.runtimes import coreml, mil

coremltools = pytest.importorskip("coremltools")
mb = pytest.importorskip("coremltools.converters.mil").Builder

Save = Callable[..., Path]


class Engine:
    """Stands for Core ML's compiled model, which no other system has: a relu that checks how it is called."""

    fed: Any = None

    def __init__(self, *model: Any, **words: Any) -> None:
        self.plain, self.words = MODEL(*model, **{**words, "skip_model_load": True}), words

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def predict(self, feed: dict[str, Any]) -> dict[str, Any]:
        assert self.words == {"compute_units": coremltools.ComputeUnit.ALL}
        [value] = feed.values()
        Engine.fed = value
        if np.asarray(value).min() < -100:
            raise RuntimeError("Error computing NN outputs.\nmore")
        return {"logits": np.maximum(np.asarray(value), 0), "label": "cat"}


MODEL = coremltools.models.MLModel


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(coremltools.models, "MLModel", Engine)


@pytest.mark.skipif(platform.system() == "Darwin", reason="on a Mac it runs")
def test_elsewhere_it_says_what_to_do(tmp_path: Path) -> None:
    assert "coreml-reference" in (coreml.missing() or "")
    with pytest.raises(NotAvailable, match="macOS only"):
        coreml.CoreMLSession(tmp_path)


def test_on_a_mac_nothing_is_missing(mac: None) -> None:
    assert coreml.missing() is None


def test_predictions_come_from_the_compiled_model(mac: None, mil_package: Save) -> None:
    images = np.random.default_rng(0).standard_normal((1, 6)).astype(np.float32)
    path = mil_package(lambda x: mb.relu(x=x, name="logits"), (1, 6))
    with coreml.CoreMLSession(path, threads=1) as session, mil.MilSession(path) as reference:
        assert session.input_shape == (1, 6)
        assert session.metadata == reference.metadata
        assert np.array_equal(session.run(images), reference.run(images))


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (1, "L")])
def test_an_image_input_is_fed_a_picture(
    channels: int, mode: str, mac: None, mil_package: Save, tmp_path: Path
) -> None:
    layout = coremltools.colorlayout.RGB if channels == 3 else coremltools.colorlayout.GRAYSCALE
    picture = coremltools.ImageType("x", shape=(1, channels, 4, 6), color_layout=layout)
    path = mil_package(lambda x: mb.relu(x=x, name="logits"), (1, channels, 4, 6), inputs=[picture])
    model = MODEL(str(path), skip_model_load=True)
    notes = {"mean": [0.5] * channels, "std": [0.25] * channels}
    model.user_defined_metadata["vitc.preprocessing"] = json.dumps(notes)
    path = tmp_path / "noted.mlpackage"
    model.save(str(path))
    pixels = np.random.default_rng(0).integers(0, 256, (1, channels, 4, 6)).astype(np.float32)
    with coreml.CoreMLSession(path) as session:
        session.run(((pixels / 255 - 0.5) / 0.25).astype(np.float32))
    assert Engine.fed.mode == mode
    assert np.array_equal(np.asarray(Engine.fed).reshape(4, 6, channels), pixels[0].transpose(1, 2, 0))


def test_what_core_ml_complains_of_is_told_in_one_line(mac: None, mil_package: Save) -> None:
    path = mil_package(lambda x: mb.relu(x=x, name="logits"), (1, 6))
    told_by = r"cannot run .*model\.mlpackage: Error computing"
    with coreml.CoreMLSession(path) as session, pytest.raises(VerificationFailed, match=told_by) as told:
        session.run(np.full((1, 6), -101, dtype=np.float32))
    assert "\n" not in str(told.value)
