import platform
from dataclasses import replace

import pytest

from vitc.runtimes import RUNTIMES, affinity, compatible, doctor, machine
from vitc.runtimes.energy import SOURCES
from vitc.runtimes.together import Probe


def test_what_is_missing_comes_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(RUNTIMES["onnxruntime"], missing=lambda: "onnxruntime is not installed: pip install onnxruntime")
    monkeypatch.setitem(RUNTIMES, "onnxruntime", gone)
    engine = next(finding for finding in doctor.findings() if finding.what == "engine onnxruntime")
    assert (engine.found, engine.mend) == ("onnxruntime is not installed", "pip install onnxruntime")


def test_every_runtime_is_looked_for() -> None:
    engines = {finding.what.removeprefix("engine "): finding for finding in doctor.findings()}
    for name, runtime in RUNTIMES.items():
        assert (engines[name].found == "ready") is (runtime.missing() is None)
        assert (engines[name].mend == "") is (runtime.missing() is None)


def test_every_sensor_is_looked_for_and_devices_too() -> None:
    found = {finding.what: finding for finding in doctor.findings()}
    for name, source in SOURCES.items():
        assert (found[f"energy {name}"].found == "ready") is (source.missing() is None)
    assert found["CUDA"].found
    assert "CPUExecutionProvider" in found["onnxruntime providers"].found


@pytest.mark.parametrize(("share", "said"), [(1.04, "100%"), (0.8, "80%"), (0.5, "50%")])
def test_cores_that_share_one_are_told_of(monkeypatch: pytest.MonkeyPatch, share: float, said: str) -> None:
    monkeypatch.setattr(affinity, "choose", lambda count: tuple(range(count)))
    monkeypatch.setattr(affinity, "whole", len)
    monkeypatch.setattr(Probe, "__call__", lambda _: share)
    monkeypatch.setattr(Probe, "__enter__", lambda probe: probe)
    (finding,) = doctor._cores(2)
    assert said in finding.found
    assert ("--threads 1" in finding.mend) is (share < 0.75)
    assert list(doctor._cores(1)) == []


def test_versions_that_clash_come_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatible, "conflicts", lambda: ["a and b clash: install c"])
    clashes = [finding for finding in doctor.findings() if finding.what == "versions"]
    assert [(finding.found, finding.mend) for finding in clashes] == [("a and b clash", "install c")]


@pytest.mark.parametrize(
    ("family", "isa", "missing"),
    [
        ("x86_64", ("avx2", "avx_vnni"), {"AMX"}),
        ("x86_64", ("amx_int8", "avx512_vnni"), set()),
        ("aarch64", ("asimddp",), {"NEON i8mm"}),
        ("arm64", (), {"NEON dot product", "NEON i8mm"}),
        ("riscv64", (), set()),
    ],
)
def test_instructions_are_those_of_the_family(
    monkeypatch: pytest.MonkeyPatch, family: str, isa: tuple[str, ...], missing: set[str]
) -> None:
    monkeypatch.setattr(machine, "describe", lambda _packages: machine.Machine("A processor", 2, isa, "an os", {}))
    monkeypatch.setattr(platform, "machine", lambda: family)
    sets = [finding for finding in doctor.findings() if finding.what in {"AMX", "VNNI"} or "NEON" in finding.what]
    assert len(sets) == (0 if family == "riscv64" else 2)
    assert {finding.what for finding in sets if finding.mend} == missing


@pytest.mark.parametrize("isa", [("avx2",), ("avx2", "avx512_vnni")])
def test_a_processor_without_int8_instructions_is_told_of(
    monkeypatch: pytest.MonkeyPatch, isa: tuple[str, ...]
) -> None:
    monkeypatch.setattr(machine, "describe", lambda _packages: machine.Machine("A processor", 2, isa, "an os", {}))
    finding = next(finding for finding in doctor.findings() if finding.what == "int8 instructions")
    assert bool(finding.mend) is ("avx512_vnni" not in isa)
