from dataclasses import replace

import pytest

from vitc.runtimes import RUNTIMES, doctor, machine


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


@pytest.mark.parametrize("isa", [("avx2",), ("avx2", "avx512_vnni")])
def test_a_processor_without_int8_instructions_is_told_of(
    monkeypatch: pytest.MonkeyPatch, isa: tuple[str, ...]
) -> None:
    monkeypatch.setattr(machine, "describe", lambda _packages: machine.Machine("A processor", 2, isa, "an os", {}))
    finding = next(finding for finding in doctor.findings() if finding.what == "int8 instructions")
    assert bool(finding.mend) is ("avx512_vnni" not in isa)
