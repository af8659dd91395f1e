"""The machine is described from what the system says, without names of hosts."""

import os
import platform
from importlib import metadata

import pytest

from vitc.runtimes.machine import ISA, describe, read_cpuinfo, read_sysctl

X86 = """processor\t: 0
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse avx2 fma avx512f avx512_vnni amx_int8 vme

processor\t: 1
model name\t: Some CPU @ 2.00GHz
"""
ARM = """processor\t: 0
Features\t: fp asimd asimddp i8mm sve
CPU part\t: 0xd40
"""
MAC = """machdep.cpu.brand_string: Apple M2
hw.optional.AdvSIMD: 1
hw.optional.neon: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 0
"""


def test_x86_is_read_from_cpuinfo() -> None:
    assert read_cpuinfo(X86) == ("Some CPU @ 2.00GHz", ("amx_int8", "avx512_vnni", "avx512f", "avx2", "fma"))


def test_arm_has_features_and_no_name() -> None:
    assert read_cpuinfo(ARM) == ("", ("asimd", "asimddp", "i8mm", "sve"))


def test_nothing_known_is_nothing_claimed() -> None:
    assert read_cpuinfo("") == ("", ())
    assert read_sysctl("") == ("", ())


def test_macos_is_read_from_sysctl() -> None:
    assert read_sysctl(MAC) == ("Apple M2", ("neon", "asimd", "asimddp"))


def test_this_machine_is_described() -> None:
    machine = describe(["numpy", "no-such-package-of-vitc"])
    assert machine.packages == {"numpy": metadata.version("numpy")}
    assert machine.cpu
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert set(machine.isa) <= set(ISA)
    assert platform.system() in machine.os or platform.system() == "Darwin"


def test_host_names_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "secret-host")
    assert "secret-host" not in str(describe(["numpy"]))
