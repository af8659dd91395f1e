from importlib import metadata

import pytest

from vitc.runtimes import RUNTIMES, doctor, machine


def test_what_is_missing_comes_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(package: str) -> str:
        if package == "onnxruntime":
            raise metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(metadata, "version", version)
    engine = next(finding for finding in doctor.findings() if finding.what == "engine onnxruntime")
    assert engine.found == "not installed"
    assert "pip install" in engine.mend


def test_every_runtime_is_looked_for() -> None:
    assert set(doctor.ENGINES) == set(RUNTIMES)


@pytest.mark.parametrize("isa", [("avx2",), ("avx2", "avx512_vnni")])
def test_a_processor_without_int8_instructions_is_told_of(
    monkeypatch: pytest.MonkeyPatch, isa: tuple[str, ...]
) -> None:
    monkeypatch.setattr(machine, "describe", lambda _packages: machine.Machine("A processor", 2, isa, "an os", {}))
    finding = next(finding for finding in doctor.findings() if finding.what == "int8 instructions")
    assert bool(finding.mend) is ("avx512_vnni" not in isa)
