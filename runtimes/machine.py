"""The machine that numbers were measured on: processor, instruction sets, system, package versions. No host names."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ISA = (
    "amx_int8",
    "amx_bf16",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512f",
    "avx2",
    "fma",
    "neon",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
)
"""The instruction sets that decide how fast int8, bf16 and float run here, by their names in /proc/cpuinfo."""

_SYSCTL = {
    "avx512f": "avx512f",
    "avx512vnni": "avx512_vnni",
    "avx2_0": "avx2",
    "fma": "fma",
    "neon": "neon",
    "AdvSIMD": "asimd",
    "arm.FEAT_DotProd": "asimddp",
    "arm.FEAT_I8MM": "i8mm",
}
"""What macOS calls them under hw.optional."""


@dataclass(frozen=True)
class Machine:
    """What a measurement depends on besides the artifact; `cores` are those this process may use."""

    cpu: str
    cores: int
    isa: tuple[str, ...]
    os: str
    packages: dict[str, str]


def describe(packages: Sequence[str]) -> Machine:
    """This machine, with the versions of those of the packages that are installed."""
    cpu, isa = _processor()
    unnamed = platform.processor() or platform.machine() or "unknown"
    return Machine(cpu or unnamed, cores(), isa, platform.platform(), _versions(packages))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def read_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Name and instruction sets from /proc/cpuinfo; the name is empty where the kernel does not say (most ARM)."""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    found = set(flags[1].split()) if flags else set()
    return name[1].strip() if name else "", tuple(isa for isa in ISA if isa in found)


def read_sysctl(text: str) -> tuple[str, tuple[str, ...]]:
    """Name and instruction sets from what `sysctl machdep.cpu.brand_string hw.optional` prints on macOS."""
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    found = {isa for key, isa in _SYSCTL.items() if values.get("hw.optional." + key) == "1"}
    return values.get("machdep.cpu.brand_string", ""), tuple(isa for isa in ISA if isa in found)


def _processor() -> tuple[str, tuple[str, ...]]:
    try:
        if platform.system() == "Darwin":
            command = ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw.optional"]
            return read_sysctl(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        return read_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return "", ()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
