"""Images need not be square, or of three channels of eight bits, or still."""

import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from vitc import cli
from vitc.models import demo_images


def test_odd_images_are_scored_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = [PIL.Image.fromarray(demo_images.draw(9, index)) for index in range(8)]
    wide = PIL.Image.fromarray(np.asarray(pictures[4].convert("L")).astype(np.uint16) * 257)
    pictures[0].resize((200, 60)).save(tmp_path / "wide.png")
    pictures[1].convert("L").save(tmp_path / "gray.png")
    pictures[2].convert("CMYK").save(tmp_path / "cmyk.jpg")
    pictures[3].convert("RGBA").save(tmp_path / "alpha.webp", lossless=True)
    wide.save(tmp_path / "sixteen.png")
    pictures[5].save(tmp_path / "moving.gif", save_all=True, append_images=pictures[6:])
    pictures[6].convert("1").save(tmp_path / "black.tiff")
    names = ["wide.png", "gray.png", "cmyk.jpg", "alpha.webp", "sixteen.png", "moving.gif", "black.tiff"]
    rows = [f"{name},{demo_images.label(index)}" for index, name in enumerate(names)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")

    words = ["export", "demo", "--data", str(tmp_path), "--runtime", "none", "--out", str(tmp_path / "run"), "-q"]
    monkeypatch.setattr(sys, "argv", ["vitc", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0, capfd.readouterr().err
    record = json.loads((tmp_path / "run" / "record.json").read_text("utf-8"))
    assert record["data"]["images"] == len(names)
    found = np.load(tmp_path / "run" / "predictions.npz")
    assert found["images"].tolist() == names
