"""Lines as the tool prints them on several boards and releases."""

import shutil

import pytest

from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.tegrastats import Tegrastats, parse

ORIN_NANO = (
    "11-27-2026 17:41:58 RAM 2505/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [2%@1510,0%@1510,off,off] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 0%@[305] NVDEC off VIC off APE 200 cpu@48.3C soc2@46.9C tj@48.3C gpu@47.9C "
    "VDD_IN 5120mW/5000mW VDD_CPU_GPU_CV 1200mW/1180mW VDD_SOC 1480mW/1400mW"
)
AGX_ORIN = (
    "RAM 4712/30536MB (lfb 5000x4MB) SWAP 0/15268MB (cached 0MB) CPU [100%@2201,5%@2201] EMC_FREQ 1%@2133 "
    "GR3D_FREQ 14%@[407,407] VIC_FREQ 115 NVDLA0_FREQ @1600 APE 174 CV0@73.625C CPU@77.281C Tboard@62C "
    "VDD_GPU_SOC 3150mW/2971mW VDD_CPU_CV 14312mW/12415mW VIN_SYS_5V0 4968mW/5048mW "
    "NC 0mW/0mW VDDQ_VDD2_1V8AO 1091mW/1091mW NC 0mW/0mW"
)
NANO = (
    "RAM 613/3964MB (lfb 634x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [2%@102,1%@102] "
    "EMC_FREQ 0% GR3D_FREQ 0% PLL@39C CPU@40.5C PMIC@100C GPU@41C thermal@41C "
    "POM_5V_IN 2540/943 POM_5V_GPU 0/0 POM_5V_CPU 318/123"
)
AGX_XAVIER = (
    "RAM 2101/31919MB (lfb 7000x4MB) SWAP 0/15959MB (cached 0MB) CPU [5%@1190,off] EMC_FREQ 0% GR3D_FREQ 0% "
    "AO@31C GPU@31C Tdiode@34.5C PMIC@100C AUX@30.5C CPU@32C thermal@31.15C Tboard@31C "
    "GPU 310/290 CPU 465/400 SOC 930/930 CV 0/0 VDDRQ 155/150 SYS5V 1438/1438"
)


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        (ORIN_NANO, 5.12),
        (AGX_ORIN, 3.15 + 14.312 + 4.968),
        (NANO, 2.54),
        (AGX_XAVIER, 0.31 + 0.465 + 0.93 + 0.155 + 1.438),
        ("VDD_IN 5120mW", 5.12),
    ],
)
def test_the_power_now_of_the_whole_module(line: str, watts: float) -> None:
    told = parse(line + "\n")
    assert told is not None
    assert told.value == pytest.approx(watts)
    assert told.step == 1e-3


@pytest.mark.parametrize("line", ["", "RAM 613/3964MB (lfb 634x4MB) CPU [2%@102]", "no rail 12/13 here"])
def test_a_line_without_rails_tells_nothing(line: str) -> None:
    assert parse(line) is None


def test_it_is_not_installed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(NoReading, match="only Jetson") as caught:
        Tegrastats().start()
    assert not caught.value.there
