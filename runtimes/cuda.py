"""Device memory and a stream, through the CUDA driver alone: it is wherever a GPU can be used, and needs no package."""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VerificationFailed


class Cuda:
    """The first GPU, as long as it is open; what was allocated goes when it is closed."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._buffers: dict[str, tuple[ctypes.c_uint64, int]] = {}
        self._device, context, self._stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._check("cuInit", 0)
        self._check("cuDeviceGet", ctypes.byref(self._device), 0)
        self._check("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._device)
        self._check("cuCtxSetCurrent", context)
        self._check("cuStreamCreate", ctypes.byref(self._stream), 0)

    @property
    def stream(self) -> int:
        """The handle of the stream that work is put on."""
        return self._stream.value or 0

    def buffer(self, name: str, size: int) -> int:
        """The address of a buffer of that name with room for `size` bytes; it grows where it must."""
        held = self._buffers.get(name)
        if held is None or held[1] < size:
            self._free(name)
            address = ctypes.c_uint64()
            self._check("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
            held = self._buffers[name] = (address, size)
        return held[0].value

    def upload(self, name: str, array: NDArray[Any]) -> int:
        """Put an array into the buffer of that name; its address."""
        whole = np.ascontiguousarray(array)
        address = self.buffer(name, whole.nbytes)
        source = whole.ctypes.data_as(ctypes.c_void_p)
        self._check("cuMemcpyHtoD_v2", ctypes.c_uint64(address), source, ctypes.c_size_t(whole.nbytes))
        return address

    def download(self, name: str, array: NDArray[Any]) -> None:
        """Wait for the stream, and fill an array from the buffer of that name."""
        self._check("cuStreamSynchronize", self._stream)
        target = array.ctypes.data_as(ctypes.c_void_p)
        self._check("cuMemcpyDtoH_v2", target, self._buffers[name][0], ctypes.c_size_t(array.nbytes))

    def close(self) -> None:
        """Give everything back."""
        for name in list(self._buffers):
            self._free(name)
        self._check("cuStreamDestroy_v2", self._stream)
        self._check("cuDevicePrimaryCtxRelease_v2", self._device)

    def _free(self, name: str) -> None:
        if name in self._buffers:
            self._check("cuMemFree_v2", self._buffers.pop(name)[0])

    def _check(self, function: str, *arguments: Any) -> None:
        if code := getattr(self._driver, function)(*arguments):
            raise VerificationFailed(f"the NVIDIA driver answers {code} to {function}; check the GPU with nvidia-smi")
