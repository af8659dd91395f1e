"""A driver's library that answers as NVML does."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.nvml import DRIVER, LIBRARY, Nvml

UNSUPPORTED = 3


class Driver:
    """CUDA and NVML in one, with a GPU on bus `bus`."""

    def __init__(self, *, counts: bool = True, failing: str = "", bus: bytes = b"0000:65:00.0") -> None:
        self.counts, self.failing, self.bus = counts, failing, bus
        self.millijoules, self.milliwatts, self.open = 1000, 70_000, 0
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *arguments: 999 if name == self.failing else getattr(self, f"_{name}")(*arguments)

    def _nvmlInit_v2(self) -> int:  # noqa: N802 (NVML's names)
        self.open += 1
        return 0

    def _nvmlShutdown(self) -> int:  # noqa: N802
        self.open -= 1
        return 0

    def _nvmlDeviceGetHandleByPciBusId_v2(self, bus: bytes, _: Any) -> int:  # noqa: N802
        self.asked.append(bus)
        return 0

    def _nvmlDeviceGetHandleByIndex_v2(self, index: int, _: Any) -> int:  # noqa: N802
        self.asked.append(index)
        return 0

    def _nvmlDeviceGetName(self, _: Any, name: Any, _length: int) -> int:  # noqa: N802
        name.value = b"NVIDIA T4"
        return 0

    def _nvmlDeviceGetTotalEnergyConsumption(self, _: Any, value: Any) -> int:  # noqa: N802
        value._obj.value = self.millijoules
        return 0 if self.counts else UNSUPPORTED

    def _nvmlDeviceGetPowerUsage(self, _: Any, value: Any) -> int:  # noqa: N802
        value._obj.value = self.milliwatts
        return 0

    def _cuInit(self, _: int) -> int:  # noqa: N802
        return 0

    def _cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        assert isinstance(device._obj, ctypes.c_int)
        return index

    def _cuDeviceGetPCIBusId(self, bus: Any, _length: int, _device: Any) -> int:  # noqa: N802
        bus.value = self.bus
        return 0


def started(driver: Driver, absent: tuple[str, ...] = ()) -> Nvml:
    def load(name: str) -> Driver:
        if name in absent:
            raise OSError(name)
        return driver

    meter = Nvml(load)
    meter.start()
    return meter


def test_the_counter_of_the_gpu_that_cuda_takes_is_read() -> None:
    driver = Driver()
    meter = started(driver)
    assert driver.asked == [b"0000:65:00.0"]
    assert (meter.name, meter.counts, meter.read().value) == ("NVML NVIDIA T4", True, 1.0)
    driver.millijoules += 500
    assert meter.read().value == 1.5
    meter.stop()
    meter.stop()
    assert driver.open == 0


def test_an_older_gpu_tells_its_power() -> None:
    meter = started(Driver(counts=False))
    assert (meter.counts, meter.read().value) == (False, 70.0)
    assert meter.name.endswith("(sampled power)")


@pytest.mark.parametrize(("driver", "absent"), [(Driver(), (DRIVER,)), (Driver(failing="cuInit"), ())])
def test_without_cuda_the_first_gpu_is_taken(driver: Driver, absent: tuple[str, ...]) -> None:
    started(driver, absent)
    assert driver.asked == [0]


def test_without_a_driver_there_is_no_sensor() -> None:
    with pytest.raises(NoReading, match="install the NVIDIA driver") as caught:
        started(Driver(), (LIBRARY,))
    assert not caught.value.there


@pytest.mark.parametrize("failing", ["nvmlInit_v2", "nvmlDeviceGetName", "nvmlDeviceGetHandleByPciBusId_v2"])
def test_what_the_driver_refuses_is_said(failing: str) -> None:
    with pytest.raises(NoReading, match="NVML answers 999"):
        started(Driver(failing=failing))


def test_a_counter_that_goes_is_said() -> None:
    driver = Driver()
    meter = started(driver)
    driver.counts = False
    with pytest.raises(NoReading, match="any more"):
        meter.read()
