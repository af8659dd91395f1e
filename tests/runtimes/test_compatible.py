import pytest

from vitc.runtimes import compatible


@pytest.mark.parametrize(
    ("found", "bounds", "kept"),
    [
        ("2.13.0+cpu", ">=2.10,<2.14", True),
        ("2.9.1", ">=2.10,<2.14", False),
        ("2.14.0", ">=2.10,<2.14", False),
        ("2.0.0", ">=2.0,<3", True),
        ("1.26.4", ">=2.0,<3", False),
        ("3.0", ">=2.0, <3", False),
        ("1.1.0rc1", ">=1.1", True),
        ("5", "", True),
    ],
)
def test_versions_keep_their_bounds_or_not(found: str, bounds: str, kept: bool) -> None:  # noqa: FBT001
    assert compatible.fits(found, bounds) is kept


def test_what_is_outside_comes_with_the_line_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatible, "version", {"numpy": "1.26.4", "torch": "2.13.0"}.get)
    required = ["numpy<3,>=2.0", "torch<2.14,>=2.10", "gone>=1,<2", 'pytest>=8; extra == "test"']
    assert list(compatible.outside(required)) == [
        "numpy 1.26.4 is not what vitc was made for: pip install 'numpy<3,>=2.0'",
        "gone is not installed: pip install 'gone>=1,<2'",
    ]


@pytest.mark.parametrize(("vision", "said"), [("0.28.0", 0), ("0.27.1+cpu", 1)])
def test_a_torchvision_of_another_torch_is_told(monkeypatch: pytest.MonkeyPatch, vision: str, said: int) -> None:
    monkeypatch.setattr("vitc.runtimes.compatible.metadata.requires", lambda _: [])
    monkeypatch.setattr(compatible, "version", {"torch": "2.13.0+cpu", "torchvision": vision}.get)
    found = compatible.conflicts()
    assert len(found) == said
    assert all("pip install torchvision==0.28.*" in line for line in found)


def test_an_engine_that_cannot_read_what_is_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    monkeypatch.setattr("vitc.runtimes.compatible.metadata.requires", lambda _: [])
    monkeypatch.setattr(compatible, "version", lambda _: None)
    assert compatible.conflicts() == []
    monkeypatch.setattr(compatible, "OPSET", 10**4)
    monkeypatch.setattr("onnx.helper.find_min_ir_version_for", lambda _: 10)
    (line,) = compatible.conflicts()
    assert "does not read" in line
    assert "pip install -U onnxruntime" in line
