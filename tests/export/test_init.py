from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vitc.checks import verifier, verify
from vitc.compress.quantize import Quantize
from vitc.compress.scheme import SCHEMES
from vitc.export import TARGETS, Target
from vitc.export.options import Options
from vitc.models.backbone import Backbone
from vitc.runtimes import RUNTIMES
from vitc.runtimes.audit import PRECISIONS, macs
from vitc.variants import Variant

BLOCKS, HEADS, TOKENS = 2, 2, 17


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_target_names_a_scheme_and_an_engine_that_there_are(target: Target) -> None:
    assert TARGETS[target.name] is target
    assert target.scheme in SCHEMES
    assert set(target.runtimes) <= set(RUNTIMES)
    assert RUNTIMES[target.runtimes[0]].timed


@pytest.fixture(scope="module")
def of_one_bit(small_vit: Callable[..., Backbone]) -> Backbone:
    how = Quantize(binary_attention=True, equalize=(), rounding="nearest")
    return how.apply(small_vit(depth=BLOCKS), [torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_attention_of_one_bit_answers_as_its_simulation_and_runs_as_it_is_said(
    target: Target, of_one_bit: Backbone, tmp_path: Path
) -> None:
    if (engine := verifier(target)) is None:
        pytest.skip(f"skipped: no engine here opens what {target.name} writes")
    simulation = Variant(of_one_bit, tmp_path).under(target.scheme).backbone
    made = target.write(simulation, tmp_path, Options())
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1)).numpy()
    found = verify(simulation, made, [images])
    assert found["parity"]["cosine"] > 0.98
    assert found["wrong"] is None
    if engine.executed is not None:
        kernels = engine.executed(made.path, images[:1])
        weighing = [
            kernel.inputs for kernel in kernels if macs(kernel) and kernel.inputs[0][1][1::2] == (HEADS, TOKENS)
        ]
        assert len(weighing) == BLOCKS
        in_integers = {PRECISIONS[one[0][0]] == "int8" for one in weighing}
        assert in_integers == {target.one_bit == "8-bit integers"}


def test_onnx_is_offered() -> None:
    assert "onnx" in TARGETS
