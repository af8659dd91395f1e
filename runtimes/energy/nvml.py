"""NVML: the meter of an NVIDIA GPU, through the driver's own library alone; it needs no package.

GPUs from Volta on count their energy; older ones tell their power, which is then sampled. The GPU is the one that
CUDA takes first: NVML numbers them otherwise, so it is found by its place on the bus.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

from .meter import NoReading, Reading

_WINDOWS = sys.platform == "win32"
LIBRARY, DRIVER = ("nvml.dll", "nvcuda.dll") if _WINDOWS else ("libnvidia-ml.so.1", "libcuda.so.1")
NAME_LENGTH = 96
BUS_LENGTH = 32


class Nvml:
    """The first GPU; `load` opens a shared library by its name."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._load = load
        self._nvml: Any = None
        self._device = ctypes.c_void_p()
        self.name = "NVML"
        self.counts = True

    def start(self) -> None:
        """Find the GPU, and what it tells."""
        try:
            nvml = self._load(LIBRARY)
        except OSError:
            raise NoReading(f"there is no {LIBRARY}: install the NVIDIA driver where there is a GPU") from None
        self._check(nvml.nvmlInit_v2(), "nvmlInit_v2")
        self._nvml = nvml
        self._find()
        name = ctypes.create_string_buffer(NAME_LENGTH)
        self._check(nvml.nvmlDeviceGetName(self._device, name, NAME_LENGTH), "nvmlDeviceGetName")
        self.counts = self._energy() is not None
        self.name = f"NVML {name.value.decode(errors='replace')}" + ("" if self.counts else " (sampled power)")

    def read(self) -> Reading:
        """Its counter, or its power."""
        if self.counts:
            joules = self._energy()
            if joules is None:
                raise NoReading("NVML: the GPU does not tell its energy any more", there=True)
            return Reading(joules)
        milliwatts = ctypes.c_uint()
        code = self._nvml.nvmlDeviceGetPowerUsage(self._device, ctypes.byref(milliwatts))
        self._check(code, "nvmlDeviceGetPowerUsage")
        return Reading(milliwatts.value / 1e3)

    def stop(self) -> None:
        """Let go of the driver."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def _energy(self) -> float | None:
        """Joules since the driver was loaded; None where the GPU does not count them."""
        millijoules = ctypes.c_ulonglong()
        code = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._device, ctypes.byref(millijoules))
        return None if code else millijoules.value / 1e3

    def _find(self) -> None:
        bus = self._bus()
        if bus is None:
            code = self._nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self._device))
        else:
            code = self._nvml.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(self._device))
        self._check(code, "for its first GPU")

    def _bus(self) -> bytes | None:
        """Where CUDA's first GPU is plugged in; None where CUDA does not say."""
        try:
            driver = self._load(DRIVER)
        except OSError:
            return None
        device, bus = ctypes.c_int(), ctypes.create_string_buffer(BUS_LENGTH)
        codes = [driver.cuInit(0), driver.cuDeviceGet(ctypes.byref(device), 0)]
        codes.append(driver.cuDeviceGetPCIBusId(bus, BUS_LENGTH, device))
        return None if any(codes) else bus.value

    def _check(self, code: int, asked: str) -> None:
        if code:
            raise NoReading(f"NVML answers {code} to {asked}: check the GPU with nvidia-smi", there=True)
