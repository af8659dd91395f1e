from importlib import metadata

import pytest

from vitc.runtimes import RUNTIMES, doctor


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


@pytest.mark.parametrize(("isa", "advised"), [(("avx2",), True), (("avx2", "avx512_vnni"), False)])
def test_a_processor_without_int8_instructions_is_told_of(
    monkeypatch: pytest.MonkeyPatch, isa: tuple[str, ...], advised: bool
) -> None:
    here = doctor.machine.Machine("A processor", 2, isa, "an os", {})
    monkeypatch.setattr(doctor.machine, "describe", lambda _packages: here)
    finding = next(finding for finding in doctor.findings() if finding.what == "int8 instructions")
    assert bool(finding.mend) is advised
