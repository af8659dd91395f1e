"""The public names: the functions, whatever is imported beside them, and nothing heavy before they are used."""

import subprocess
import sys

import pytest

import vitc

HEAVY = ("torch", "timm", "onnx", "onnxruntime", "numpy", "rich", "PIL")


def run(script: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_vitc_alone_loads_nothing_heavy() -> None:
    assert run(f"import sys, vitc; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


@pytest.mark.parametrize("first", ["import vitc", "import vitc.compress.quantize, vitc.export.to_onnx"])
def test_compress_and_export_are_the_functions(first: str) -> None:
    script = f"""
{first}
before = vitc.compress, vitc.export
import vitc.compress.quantize, vitc.export.to_onnx, vitc.pipeline
from vitc import compress, export
assert before == (vitc.compress, vitc.export) == (compress, export)
print(*(f"{{function.__module__}}.{{function.__name__}}" for function in before))
"""
    assert run(script) == "vitc.pipeline.compress vitc.pipeline.export"


def test_what_lies_in_the_folders_can_be_imported_beside_the_functions() -> None:
    script = "import vitc; vitc.compress; from vitc.compress.quantize import Quantize; print(Quantize.__name__)"
    assert run(script) == "Quantize"


@pytest.mark.parametrize("name", vitc.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(vitc, name))


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AttributeError, match=r"'squeeze'; it has Recipe, .*compress"):
        _ = vitc.squeeze
    assert not hasattr(vitc, "squeeze")
