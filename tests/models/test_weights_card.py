from pathlib import Path

import pytest

from vitc.errors import UserError
from vitc.models import weights_card

FILE = Path("w.safetensors")


def test_all_that_a_file_says_is_read() -> None:
    card = weights_card.parse(
        {
            "timm": "swin",
            "kwargs": '{"num_classes": 2, "img_size": 64}',
            "classes": "cat, dog",
            "input_size": "3,64,64",
            "mean": "0.5,0.5,0.5",
            "std": "[0.2, 0.2, 0.2]",
            "crop_pct": "1.0",
            "interpolation": "bilinear",
            "trained_on": "something",
        },
        FILE,
    )
    assert card.timm == "swin"
    assert card.kwargs == {"num_classes": 2, "img_size": 64}
    assert card.classes == ("cat", "dog")
    assert card.preprocessing == {
        "input_size": [3, 64, 64],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "crop_pct": 1.0,
        "interpolation": "bilinear",
    }


def test_a_silent_file_gives_an_empty_card() -> None:
    assert weights_card.parse({"format": "pt"}, FILE) == weights_card.Card(None, {}, (), {})


@pytest.mark.parametrize("metadata", [{"classes": '["a, b", "c"]'}, {"num_classes": "2"}])
def test_the_number_of_classes_follows(metadata: dict[str, str]) -> None:
    assert weights_card.parse(metadata, FILE).kwargs == {"num_classes": 2}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kwargs", "{"),
        ("kwargs", "[1]"),
        ("kwargs", '{"checkpoint_path": "/somewhere"}'),
        ("num_classes", "many"),
        ("input_size", "3,big,big"),
        ("crop_pct", "all"),
        ("classes", "[1"),
    ],
)
def test_what_is_malformed_or_reads_other_files_is_refused(key: str, value: str) -> None:
    with pytest.raises(UserError, match=f"metadata key '{key}' should be"):
        weights_card.parse({key: value}, FILE)
