from pathlib import Path

import pytest

from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.sysfs import number, text


def test_files_are_read_without_what_surrounds_their_text(tmp_path: Path) -> None:
    (tmp_path / "name").write_text(" VDD_IN\n")
    (tmp_path / "value").write_text("-12\n")
    assert text(tmp_path / "name", "") == "VDD_IN"
    assert number(tmp_path / "value", "") == -12


@pytest.mark.parametrize("said", [b"", b"12 mA", b"1.5", b"\xff", b"--1"])
def test_what_is_no_number_is_said(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "value").write_bytes(said)
    with pytest.raises(NoReading, match="value") as caught:
        number(tmp_path / "value", "")
    assert caught.value.there


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoReading, match=r"value cannot be read \(FileNotFoundError\)"):
        text(tmp_path / "value", "")
