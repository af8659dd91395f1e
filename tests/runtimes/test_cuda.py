import ctypes
from typing import Any

import numpy as np
import pytest

from vitc.errors import VerificationFailed
from vitc.runtimes.cuda import Cuda


class Driver:
    """libcuda as far as vitc calls it; counts what is held, so that tests see what is given back."""

    def __init__(self) -> None:
        self.blocks: dict[int, Any] = {}
        self.contexts = self.streams = self.allocated = 0
        self.failing = ""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu") and name == self.failing:
            return lambda *_: 999
        return super().__getattribute__(name)

    def cuInit(self, _: int) -> int:  # noqa: N802  (the driver's names)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, _: Any) -> int:  # noqa: N802
        context._obj.value, self.contexts = 1, self.contexts + 1
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, _: Any) -> int:  # noqa: N802
        self.contexts -= 1
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        return 0 if context.value == 1 else 201

    def cuStreamCreate(self, stream: Any, _: int) -> int:  # noqa: N802
        stream._obj.value, self.streams = 7, self.streams + 1
        return 0

    def cuStreamDestroy_v2(self, _: Any) -> int:  # noqa: N802
        self.streams -= 1
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        return 0 if stream.value == 7 else 400

    def cuMemAlloc_v2(self, address: Any, size: Any) -> int:  # noqa: N802
        block = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(block)
        self.blocks[address._obj.value] = block
        self.allocated += 1
        return 0

    def cuMemFree_v2(self, address: Any) -> int:  # noqa: N802
        del self.blocks[address.value]
        return 0

    def cuMemcpyHtoD_v2(self, address: Any, source: Any, size: Any) -> int:  # noqa: N802
        assert size.value <= len(self.blocks[address.value])
        ctypes.memmove(address.value, source, size.value)
        return 0

    def cuMemcpyDtoH_v2(self, target: Any, address: Any, size: Any) -> int:  # noqa: N802
        assert size.value <= len(self.blocks[address.value])
        ctypes.memmove(target, address.value, size.value)
        return 0


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_what_is_uploaded_comes_back(driver: Driver) -> None:
    cuda = Cuda(driver)
    sent = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]  # not contiguous
    address = cuda.upload("image", sent)
    assert address in driver.blocks
    back = np.empty((4, 3), dtype=np.float32)
    cuda.download("image", back)
    np.testing.assert_array_equal(back, sent)


def test_a_buffer_is_kept_until_it_is_too_small(driver: Driver) -> None:
    cuda = Cuda(driver)
    first = cuda.buffer("logits", 64)
    assert cuda.buffer("logits", 32) == first
    cuda.buffer("logits", 128)
    assert driver.allocated == 2
    assert [len(block) for block in driver.blocks.values()] == [128], "the small one is given back"
    assert cuda.buffer("image", 128) != cuda.buffer("logits", 128)


def test_closing_gives_everything_back(driver: Driver) -> None:
    cuda = Cuda(driver)
    cuda.buffer("image", 64)
    assert (driver.contexts, driver.streams, cuda.stream) == (1, 1, 7)
    cuda.close()
    assert (driver.blocks, driver.contexts, driver.streams) == ({}, 0, 0)


@pytest.mark.parametrize("function", ["cuDevicePrimaryCtxRetain", "cuMemAlloc_v2", "cuMemcpyHtoD_v2"])
def test_a_failing_driver_is_told_by_its_function(driver: Driver, function: str) -> None:
    driver.failing = function
    with pytest.raises(VerificationFailed, match=f"answers 999 to {function}"):
        Cuda(driver).upload("image", np.zeros(4, dtype=np.float32))
