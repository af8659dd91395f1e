from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitc.export.coreml_weights import deployment_target, packed, palette
from vitc.libraries import coremltools, quiet

pytest.importorskip("coremltools")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

FORMS = {
    8: "constexpr_affine_dequantize",
    6: "constexpr_affine_dequantize",
    4: "constexpr_blockwise_shift_scale",
    3: "constexpr_lut_to_dense",
    2: "constexpr_lut_to_dense",
    1: "constexpr_lut_to_dense",
}
OUTPUTS, INPUTS = 16, 1024


def random_codes(bits: int, *shape: int) -> NDArray[np.int8]:
    noise = np.random.default_rng(0)
    if bits <= 2:
        return noise.choice(np.arange(1 - 2**bits, 2**bits, 2, dtype=np.int8), shape)
    end = 2 ** (bits - 1) - 1
    return noise.integers(-end, end, shape, dtype=np.int8, endpoint=True)


def program(weight: Any, shape: tuple[int, ...], system: str) -> Any:
    """A program with one linear or convolution of a weight, as coremltools' builder makes it."""
    from coremltools.converters.mil import Builder

    @Builder.program(input_specs=[Builder.TensorSpec(shape)], opset_version=coremltools().target[system])
    def built(x: Any) -> Any:
        layer = Builder.linear if len(shape) == 2 else Builder.conv
        return layer(x=x, weight=weight(), name="out")

    return built


def saved(made: Any, system: str, folder: Path) -> tuple[Any, int]:
    """The operation that unfolds the weight in the saved package, and the bytes of the package's weights."""
    from coremltools.converters.mil.frontend.milproto.load import load

    ct = coremltools()
    with quiet():
        path = folder / "a.mlpackage"
        model = ct.convert(
            made,
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT16,
            minimum_deployment_target=ct.target[system],
            skip_model_load=True,
        )
        model.save(str(path))
        again = ct.models.MLModel(str(path), skip_model_load=True)
        spec = again.get_spec()
        loaded = load(spec, spec.specificationVersion, again.weights_dir)
    (found,) = (op for op in loaded.functions["main"].operations if op.op_type.startswith("constexpr"))
    return found, (Path(again.weights_dir) / "weight.bin").stat().st_size


@pytest.mark.parametrize("bits", FORMS)
def test_the_package_unfolds_to_codes_times_scale(bits: int, tmp_path: Path) -> None:
    codes = random_codes(bits, OUTPUTS, INPUTS)
    scale = np.linspace(0.001, 0.1, OUTPUTS, dtype=np.float32)
    system = deployment_target(bits)
    made = program(lambda: packed(codes, scale, bits, "layer_weight"), (1, INPUTS), system)
    op, stored = saved(made, system, tmp_path)
    assert op.op_type == FORMS[bits]
    assert op.outputs[0].name == "layer_weight"
    wanted = codes.astype(np.float16) * scale.astype(np.float16)[:, None]
    np.testing.assert_array_equal(op.materialized_val_inference(), wanted)
    width = 8 if bits > 4 else bits
    overhead = 1024 + OUTPUTS * 2 * (1 + 2**bits * (bits < 4))
    assert stored <= codes.size * width / 8 + overhead, "the codes are not packed"


@pytest.mark.parametrize("bits", [8, 4, 1])
def test_a_convolution_has_a_scale_an_output_channel(bits: int, tmp_path: Path) -> None:
    codes, scale = random_codes(bits, 6, 2, 3, 5), np.linspace(0.001, 0.1, 6, dtype=np.float32)
    system = deployment_target(bits)
    made = program(lambda: packed(codes, scale, bits, "layer_weight"), (1, 2, 7, 7), system)
    op, _ = saved(made, system, tmp_path)
    wanted = codes.astype(np.float16) * scale.astype(np.float16)[:, None, None, None]
    np.testing.assert_array_equal(op.materialized_val_inference(), wanted)


def test_bytes_on_ios_18_take_its_own_form(tmp_path: Path) -> None:
    codes, scale = random_codes(8, OUTPUTS, INPUTS), np.ones(OUTPUTS, dtype=np.float32)
    op, _ = saved(program(lambda: packed(codes, scale, 8, "w"), (1, INPUTS), "iOS18"), "iOS18", tmp_path)
    assert op.op_type == "constexpr_blockwise_shift_scale"
    np.testing.assert_array_equal(op.materialized_val_inference(), codes)


def test_a_scale_too_small_for_16_bits_does_not_become_zero(tmp_path: Path) -> None:
    codes, scale = random_codes(8, OUTPUTS, INPUTS), np.full(OUTPUTS, 2**-100, dtype=np.float32)
    op, _ = saved(program(lambda: packed(codes, scale, 8, "w"), (1, INPUTS), "iOS17"), "iOS17", tmp_path)
    assert (op.scale.val > 0).all()


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_a_palette_holds_every_code(bits: int) -> None:
    codes = random_codes(bits, 4, 33)
    check_palette(codes, bits)


def test_a_palette_of_two_bits_may_hold_whole_numbers() -> None:
    check_palette(random_codes(3, 4, 33).clip(-2, 1), 2)


def check_palette(codes: NDArray[np.int8], bits: int) -> None:
    indices, values = palette(codes, bits)
    assert len(values) == 2**bits
    np.testing.assert_array_equal(values[indices], codes)
