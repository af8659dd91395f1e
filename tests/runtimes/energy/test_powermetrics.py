"""Output as the tool prints it on several machines."""

import shutil

import pytest

from vitc.runtimes.energy.meter import NoReading
from vitc.runtimes.energy.powermetrics import Powermetrics, parse
from vitc.runtimes.energy.printed import Printed

APPLE_SILICON = """Machine model: Mac14,2
OS version: 25C56

*** Sampled system activity (Fri Nov 27 13:41:46 2026 -0700) (202.90ms elapsed) ***

**** Processor usage ****

E-Cluster HW active frequency: 1248 MHz
E-Cluster HW active residency:  77.43% (600 MHz:   0% 912 MHz:  54% 2424 MHz: 8.7%)
CPU 0 frequency: 1359 MHz
P-Cluster idle residency:  43.77%

CPU Power: 823 mW
GPU Power: 26 mW
ANE Power: 323 mW
Combined Power (CPU + GPU + ANE): 1172 mW

*** Sampled system activity (Fri Nov 27 13:41:47 2026 -0700) (201.09ms elapsed) ***

CPU Power: 205 mW
GPU Power: 19 mW
ANE Power: 221 mW
Combined Power (CPU + GPU + ANE): 445 mW
"""
BIG_SUR = """ANE Power: 0 mW
DRAM Power: 180 mW
CPU Power: 1240 mW
GPU Power: 380 mW
Package Power: 1834 mW
"""
INTEL = """*** Sampled system activity (Fri Nov 27 17:15:14 2026 +1000) (200.63ms elapsed) ***

**** Processor usage ****

Intel energy model derived package power (CPUs+GT+SA): 2.48W

LLC flushed residency: 0%
System Average frequency as fraction of nominal: 69.98% (1399.62 Mhz)
"""


@pytest.mark.parametrize(
    ("output", "watts", "step"),
    [(APPLE_SILICON, [1.172, 0.445], 1e-3), (BIG_SUR, [1.834], 1e-3), (INTEL, [2.48], 1e-2)],
)
def test_the_power_of_the_whole_processor(output: str, watts: list[float], step: float) -> None:
    told = [reading for line in output.splitlines(keepends=True) if (reading := parse(line))]
    assert [reading.value for reading in told] == pytest.approx(watts)
    assert [reading.step for reading in told] == pytest.approx([step] * len(watts))


def test_it_is_not_installed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(NoReading, match="only macOS") as caught:
        Powermetrics().start()
    assert not caught.value.there


def test_a_sudo_that_asks_comes_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Printed) -> None:
        raise NoReading("powermetrics ended with exit code 1: sudo: a password is required", there=True)

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Printed, "start", refused)
    with pytest.raises(NoReading, match="a password is required; sudo -v"):
        Powermetrics().start()
