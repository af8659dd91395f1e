import pytest

from vitc.runtimes.audit import AuditResult, Kernel, audit, macs

Shape = tuple[int, ...]


def kernel(operator: str, shapes: list[Shape], result: Shape, dtype: str = "float", name: str = "node") -> Kernel:
    """A kernel whose first inputs are factors and whose others are scales and the like."""
    return Kernel(operator, name, tuple((dtype, shape) for shape in shapes), (("float", result),))


@pytest.mark.parametrize(
    ("shapes", "result", "count"),
    [
        ([(2, 17, 48), (48, 144)], (2, 17, 144), 2 * 17 * 48 * 144),
        ([(17, 48), (48, 7)], (17, 7), 17 * 48 * 7),
        ([(2, 3, 17, 16), (2, 3, 16, 17)], (2, 3, 17, 17), 2 * 3 * 17 * 16 * 17),
        ([(1, 4, 8), (5, 8, 6)], (5, 4, 6), 5 * 4 * 8 * 6),  # the left factor is repeated
        ([(48,), (48, 7)], (7,), 48 * 7),
        ([(48,), (48,)], (), 48),
    ],
)
def test_a_matrix_product(shapes: list[Shape], result: Shape, count: int) -> None:
    assert macs(kernel("MatMul", shapes, result)) == count


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3, 17, 16), (2, 3, 16, 19)),
        ((2, 3, 16, 17), (2, 3, 16, 19)),
        ((2, 3, 17, 16), (2, 3, 19, 16)),
        ((2, 3, 16, 17), (2, 3, 19, 16)),
        ((17, 2, 3, 16), (2, 3, 16, 19)),  # transBatchA
    ],
)
def test_a_fused_product_counts_the_same_however_it_is_transposed(left: Shape, right: Shape) -> None:
    assert macs(kernel("FusedMatMul", [left, right], (2, 3, 17, 19))) == 2 * 3 * 17 * 16 * 19


@pytest.mark.parametrize("left", [(17, 48), (48, 17)])
@pytest.mark.parametrize("right", [(48, 7), (7, 48)])
def test_gemm_counts_the_same_however_it_is_transposed(left: Shape, right: Shape) -> None:
    assert macs(kernel("Gemm", [left, right, (7,)], (17, 7))) == 17 * 48 * 7


@pytest.mark.parametrize("operator", ["MatMulInteger", "MatMulIntegerToFloat", "QGemm"])
def test_integer_products_count_like_float_ones(operator: str) -> None:
    assert macs(kernel(operator, [(2, 17, 48), (48, 144), (), (144,), (), ()], (2, 17, 144))) == 2 * 17 * 48 * 144


def test_a_quantized_product_has_its_scales_between_the_factors() -> None:
    shapes: list[Shape] = [(17, 48), (), (), (48, 7), (7,), (), (), ()]
    assert macs(kernel("QLinearMatMul", shapes, (17, 7))) == 17 * 48 * 7


@pytest.mark.parametrize("operator", ["Conv", "FusedConv", "ConvInteger"])
def test_a_convolution(operator: str) -> None:
    whole = macs(kernel(operator, [(1, 16, 9, 9), (32, 16, 3, 3), (32,)], (1, 32, 7, 7)))
    assert whole == 32 * 7 * 7 * 16 * 9
    grouped = macs(kernel(operator, [(1, 16, 9, 9), (32, 4, 3, 3), (32,)], (1, 32, 7, 7)))
    depthwise = macs(kernel(operator, [(1, 16, 9, 9), (16, 1, 3, 3), (16,)], (1, 16, 7, 7)))
    assert (grouped, depthwise) == (whole // 4, 16 * 7 * 7 * 9)


def test_a_quantized_convolution_has_its_channels_last_and_its_weight_behind_scales() -> None:
    shapes: list[Shape] = [(1, 9, 9, 16), (), (), (32, 16, 3, 3), (32,), (), (), (), (32,)]
    assert macs(kernel("QLinearConv", shapes, (1, 7, 7, 32))) == 32 * 7 * 7 * 16 * 9


def test_what_multiplies_no_matrices_counts_nothing() -> None:
    assert macs(kernel("Add", [(2, 3), (2, 3)], (2, 3))) == 0
    assert macs(kernel("LayerNormalization", [(2, 3), (3,)], (2, 3))) == 0
    assert macs(Kernel("MatMul", "node", (), ())) == 0


def test_percentages_weigh_by_multiplications() -> None:
    kernels = [
        kernel("MatMulIntegerToFloat", [(10, 30), (30, 1)], (10, 1), "uint8", "qkv"),
        kernel("FusedMatMul", [(10, 20), (20, 1)], (10, 1), "float", "attention"),
        kernel("Gemm", [(10, 50), (50, 1)], (10, 1), "float", "fc1"),
        kernel("Gelu", [(10, 50)], (10, 50)),
    ]
    promised = {"qkv": "blocks.0.attn.qkv", "fc1": "blocks.0.mlp.fc1"}
    assert audit(kernels, promised) == AuditResult(
        30.0, 37.5, (("blocks.0.mlp.fc1", "runs as Gemm on float"),), {"fp32": 70.0, "int8": 30.0}
    )


def test_signed_activations_are_integers_too() -> None:
    kernels = [kernel("QLinearConv", [(1, 8, 8, 3), (), (), (4, 3, 3, 3)], (1, 6, 6, 4), "int8", "stem")]
    assert audit(kernels, {"stem": "stem"}) == AuditResult(100.0, 100.0, (), {"int8": 100.0})


def test_a_float_model_promised_nothing() -> None:
    assert audit([kernel("MatMul", [(2, 3), (3, 4)], (2, 4))], {}) == AuditResult(0.0, 100.0, (), {"fp32": 100.0})
    assert audit([], {}) == AuditResult(0.0, 100.0, (), {})


@pytest.mark.parametrize("dtype", ["u8", "i8", "int8", "uint8"])
def test_engines_call_bytes_by_different_names(dtype: str) -> None:
    assert audit([kernel("MatMul", [(2, 3), (3, 4)], (2, 4), dtype)], {}).int8_macs_pct == 100


def test_a_precision_that_nobody_knows_keeps_its_name() -> None:
    kernels = [kernel("MatMul", [(2, 3), (3, 4)], (2, 4), dtype) for dtype in ("bf16", "f16", "f8e4m3", "f32")]
    assert audit(kernels, {}).macs_pct == {"bf16": 25.0, "f8e4m3": 25.0, "fp16": 25.0, "fp32": 25.0}
