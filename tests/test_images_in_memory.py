"""Images are read from disk batch by batch, and do not stay in memory: a run's peak does not grow with their number."""

import sys
from pathlib import Path

import numpy as np
import pytest

from vitc.models.backbone import Preprocessing
from vitc.models.data import Classes, find
from vitc.models.decode import decode


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to see what lies in memory")
def test_images_that_were_read_do_not_stay_in_memory(tmp_path: Path) -> None:
    pixels = decode(find("demo:24", Classes(12), labelled=False), Preprocessing(), tmp_path / "into", 0, lambda _: None)

    def resident() -> int:
        """Kilobytes of the file that are in this process's memory."""
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8").split("pixels.npy\n")[1:]
        return sum(int(entry.partition("Rss:")[2].split()[0]) for entry in maps)

    assert pixels.pixels.sum(dtype=np.int64) > 0
    whole = resident()
    assert whole >= pixels.pixels.nbytes // 1024 // 2
    for _ in pixels.batches(4):
        pass
    assert resident() < whole / 4
