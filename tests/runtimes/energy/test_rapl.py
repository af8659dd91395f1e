from pathlib import Path

import pytest

from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.rapl import Rapl


def zone(root: Path, place: str, name: str, energy: int = 0, most: int = 1000) -> Path:
    folder = root / place
    folder.mkdir()
    for file, value in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{value}\n")
    return folder / "energy_uj"


def test_packages_and_memory_are_added_up_and_nothing_twice(tmp_path: Path) -> None:
    files = {
        name: zone(tmp_path, place, name, most=10**9)
        for place, name in (
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl:2", "psys"),
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "uncore"),
            ("intel-rapl:0:2", "dram"),
        )
    }
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", most=10**9)
    meter = Rapl(tmp_path)
    meter.start()
    assert meter.name == "RAPL package-0 + dram + package-1"
    for power, file in enumerate(files.values()):
        file.write_text(str(10**power * 1_000_000 if power < 3 else 7_000_000))
    files["dram"].write_text("500000")
    assert meter.read().value == pytest.approx(1 + 10 + 0.5)


def test_it_counts_on_where_a_counter_begins_again(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", energy=900)
    meter = Rapl(tmp_path)
    meter.start()
    for value in (950, 50, 990, 10):
        file.write_text(str(value))
        meter.read()
    assert meter.read().value == pytest.approx((50 + 100 + 940 + 20) / 1e6)


def test_a_counter_that_was_set_back_is_no_wrap(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", energy=300)
    meter = Rapl(tmp_path)
    meter.start()
    file.write_text("10")
    with pytest.raises(NoReading, match="package-0 began anew"):
        meter.read()


def test_without_a_package_there_is_no_sensor(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:1", "psys")
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoReading, match="no RAPL package") as caught:
            Rapl(root).start()
        assert not caught.value.there


def test_a_missing_permission_comes_with_its_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0")
    read = Path.read_text

    def guarded(path: Path, encoding: str | None = None) -> str:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return read(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(NoReading, match=r"energy_uj may not be read: sudo chmod a\+r /sys/class/powercap") as caught:
        Rapl(tmp_path).start()
    assert caught.value.there
