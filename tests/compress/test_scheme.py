import numpy as np
import pytest

from vitc.compress.scheme import SCHEMES, Grid, Scheme

UNSIGNED = Scheme("unsigned", signed=False, symmetric=False)
SIGNED = Scheme("signed", signed=True, symmetric=True)
RANGES = (
    (-1.0, 3.0),
    (-0.17, 0.05),
    (0.0, 6.0),
    (-2.5, 0.0),
    (0.5, 2.0),  # all positive
    (-7.0, -3.0),  # all negative
    (-1e-6, 1e4),
    (-3e30, 3e30),
)


def value(grid: Grid, code: int) -> float:
    return grid.scale * (code - grid.zero_point)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("limits", RANGES)
@pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=lambda scheme: scheme.name)
def test_a_grid_holds_zero_and_covers_the_range(scheme: Scheme, limits: tuple[float, float], bits: int) -> None:
    low, high = limits
    grid = scheme.grid(low, high, bits)
    assert grid.lowest <= grid.zero_point <= grid.highest
    assert value(grid, grid.zero_point) == 0.0
    step = grid.scale * (0.5 + 1e-4)
    assert value(grid, grid.lowest) <= low + step
    assert value(grid, grid.highest) >= high - step


@pytest.mark.parametrize("limits", RANGES)
@pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=lambda scheme: scheme.name)
def test_a_scale_is_a_positive_32_bit_float(scheme: Scheme, limits: tuple[float, float]) -> None:
    scale = scheme.grid(*limits, 8).scale
    assert scale > 0
    assert float(np.float32(scale)) == scale


@pytest.mark.parametrize("bits", range(2, 9))
def test_unsigned_codes_start_at_zero(bits: int) -> None:
    grid = UNSIGNED.grid(-1.0, 3.0, bits)
    assert (grid.lowest, grid.highest) == (0, 2**bits - 1)
    assert grid.zero_point > 0


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("limits", RANGES)
def test_signed_codes_are_symmetric_around_zero(limits: tuple[float, float], bits: int) -> None:
    grid = SIGNED.grid(*limits, bits)
    assert (grid.lowest, grid.highest, grid.zero_point) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0)
    assert grid == SIGNED.grid(-limits[1], -limits[0], bits)


@pytest.mark.parametrize("limits", [(0.0, 0.0), (-1e-46, 1e-46)])
@pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=lambda scheme: scheme.name)
def test_a_range_of_nothing_still_has_a_step(scheme: Scheme, limits: tuple[float, float]) -> None:
    assert scheme.grid(*limits, 8) == Grid(1.0, 0, *((-128, 127) if scheme.signed else (0, 255)))


def test_a_range_that_leaves_zero_out_is_widened_to_it() -> None:
    assert UNSIGNED.grid(0.5, 2.0, 8) == UNSIGNED.grid(0.0, 2.0, 8)
    assert UNSIGNED.grid(-7.0, -3.0, 8) == UNSIGNED.grid(-7.0, 0.0, 8)


def test_every_scheme_is_listed_under_its_name() -> None:
    assert all(scheme.name == name for name, scheme in SCHEMES.items())
    onnx = SCHEMES["asymmetric"]
    assert (onnx.signed, onnx.symmetric) == (False, False)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("limits", RANGES)
@pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=lambda scheme: scheme.name)
def test_a_byte_of_its_kind_holds_every_code(scheme: Scheme, limits: tuple[float, float], bits: int) -> None:
    grid = scheme.grid(*limits, bits)
    held = np.iinfo(grid.kind)
    assert held.min <= grid.lowest < grid.highest <= held.max
    assert grid.fills_byte is ((held.min, held.max) == (grid.lowest, grid.highest)) is (bits == 8)
    assert grid.ends == (value(grid, grid.lowest), value(grid, grid.highest))
