"""The answers of everything that is scored are kept image by image and gathered in one file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vitc.models.backbone import Preprocessing
from vitc.models.decode import Pixels
from vitc.scoring import BATCH, Score

Floats = NDArray[np.float32]
COUNT = BATCH + 8
LABELS = np.arange(COUNT, dtype=np.int64) % 10


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Images that hold nothing but their label, in the brightness of one pixel; more than one batch of them."""
    plain = Preprocessing(input_size=(1, 1, 1), mean=(0.0,), std=(1.0,))
    pixels = LABELS.astype(np.uint8).reshape(-1, 1, 1, 1)
    return Score(Pixels(pixels, LABELS, tuple(f"{i}.png" for i in range(COUNT)), (), plain), tmp_path)


def seer(shift: int) -> Callable[[Floats], Floats]:
    """A model that sees the label, and answers the class that many further on."""

    def run(images: Floats) -> Floats:
        seen = np.rint(images.reshape(len(images)) * 255).astype(int)
        logits: Floats = np.eye(10, dtype=np.float32)[(seen + shift) % 10]
        return logits

    return run


def ignore(_: int) -> None:
    """Takes progress and does nothing of it."""


def test_a_right_model_scores_all_and_a_wrong_one_nothing(score: Score) -> None:
    assert score.score("good", seer(0), ignore) == {"top1": 100.0, "top5": 100.0, "images": COUNT}
    assert score.score("bad", seer(1), ignore)["top1"] == 0


def test_progress_counts_every_image(score: Score) -> None:
    done: list[int] = []
    score.score("good", seer(0), done.append)
    assert sum(done) == score.images == COUNT


def test_answers_are_kept_under_the_name_that_outputs_tells(score: Score) -> None:
    score.score("int8/onnx onnxruntime", seer(0), ignore)
    (kept,) = score.outputs("int8/onnx onnxruntime")
    assert np.load(kept)[:, 0].tolist() == LABELS.tolist()
    assert kept.parent == score.folder


def test_all_answers_are_gathered_beside_labels_and_names(score: Score, tmp_path: Path) -> None:
    names = ["fp32 torch", "int8/onnx onnxruntime"]
    for shift, name in enumerate(names):
        score.score(name, seer(shift), ignore)
    score.gather(names, tmp_path / "predictions.npz")
    found = np.load(tmp_path / "predictions.npz")
    assert sorted(found) == sorted([*names, "images", "labels"])
    assert found["images"].tolist() == [f"{i}.png" for i in range(COUNT)]
    assert found["labels"].tolist() == LABELS.tolist()
    assert found[names[1]][:, 0].tolist() == ((LABELS + 1) % 10).tolist()


def test_the_same_answers_give_the_same_bytes(score: Score, tmp_path: Path) -> None:
    score.score("a", seer(0), ignore)
    score.gather(["a"], tmp_path / "one.npz")
    score.gather(["a"], tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_where_nothing_is_scored_nothing_is_written(tmp_path: Path) -> None:
    nothing = Score(None, tmp_path)
    assert nothing.score("good", seer(0), ignore) == {"top1": None, "top5": None, "images": 0}
    nothing.gather(["good"], tmp_path / "predictions.npz")
    assert nothing.outputs("good") == []
    assert not any(tmp_path.iterdir())


def test_the_identity_is_that_of_the_images(score: Score, tmp_path: Path) -> None:
    assert score.pixels
    fewer = Score(score.pixels.first(3), tmp_path)
    assert score.identity() == Score(score.pixels, tmp_path / "other").identity()
    assert len({str(one.identity()) for one in (score, fewer, Score(None, tmp_path))}) == 3
