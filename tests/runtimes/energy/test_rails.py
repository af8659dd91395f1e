from pathlib import Path

import pytest

from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.rails import Rails, whole

Channels = list[tuple[str, int, int] | None]
"""Label, millivolts and milliamperes of each."""


def chip(root: Path, number: int, channels: Channels, name: str = "ina3221") -> Path:
    folder = root / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    for channel, found in enumerate(channels, start=1):
        if found:
            for file, value in zip(("in{}_label", "in{}_input", "curr{}_input"), found, strict=True):
                (folder / file.format(channel)).write_text(f"{value}\n")
    (folder / "in7_label").write_text("sum of shunt voltages\n")
    (folder / "in7_input").write_text("999\n")
    return folder


def test_the_rail_that_comes_in_is_the_whole(tmp_path: Path) -> None:
    chip(tmp_path, 0, [("temperature", 1, 1)], name="thermal")
    chip(tmp_path, 1, [("VDD_IN", 5000, 1100), ("VDD_CPU_GPU_CV", 5000, 400), ("VDD_SOC", 5000, 300)])
    meter = Rails(tmp_path)
    meter.start()
    assert meter.name == "INA3221 VDD_IN"
    assert meter.read().value == pytest.approx(5.5)


def test_without_it_the_rails_are_added_up_over_all_chips_but_not_what_another_feeds(tmp_path: Path) -> None:
    chip(tmp_path, 3, [("VDD_GPU_SOC", 1000, 3000), ("VDD_CPU_CV", 1000, 2000), ("VIN_SYS_5V0", 5000, 1000)])
    chip(tmp_path, 4, [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 200), None])
    meter = Rails(tmp_path)
    meter.start()
    assert meter.name == "INA3221 VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    assert meter.read().value == pytest.approx(3 + 2 + 5)


def test_a_channel_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    folder = chip(tmp_path, 1, [("VDD_IN", 5000, 1000), ("VDD_SOC", 5000, 300), None])
    (folder / "in1_enable").write_text("0\n")
    (folder / "in2_enable").write_text("1\n")
    meter = Rails(tmp_path)
    meter.start()
    assert meter.read().value == pytest.approx(1.5)


def test_the_shunt_says_how_finely_it_measures(tmp_path: Path) -> None:
    folder = chip(tmp_path, 1, [("VDD_IN", 5000, 1000)])
    meter = Rails(tmp_path)
    meter.start()
    assert meter.read().step == 0
    (folder / "shunt1_resistor").write_text("5000\n")
    assert meter.read().step == pytest.approx(5 * 0.008)  # 40 uV over 5 milliohms are 8 mA


def test_no_rail_is_no_sensor_and_one_that_goes_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoReading, match="only Jetson boards") as caught:
        Rails(tmp_path).start()
    assert not caught.value.there
    folder = chip(tmp_path, 1, [("VDD_IN", 5000, 1000)])
    meter = Rails(tmp_path)
    meter.start()
    (folder / "curr1_input").unlink()
    with pytest.raises(NoReading, match="curr1_input cannot be read"):
        meter.read()


def test_what_the_whole_is() -> None:
    assert whole({"POM_5V_CPU": 1, "POM_5V_IN": 2}) == ["POM_5V_IN"]
    assert whole({"VIN": 3, "VDD_GPU": 1, "VIN_SYS_5V0": 1}) == ["VIN"]
    assert whole({"GPU": 1, "CPU": 1, "SYS5V": 1}) == ["GPU", "CPU", "SYS5V"]
    assert whole({"NC": 0}) == []
