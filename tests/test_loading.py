"""A quantized program loads in a process that has compressed nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("demo_run")


def test_a_fresh_process_loads_a_quantized_program(demo_run: Path) -> None:
    code = f"import vitc; print(vitc.load({str(demo_run / 'model.pt2')!r}).precision)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["int8"]
