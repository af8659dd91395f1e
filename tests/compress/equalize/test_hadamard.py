import pytest
import torch

from vitc.compress.equalize.hadamard import constant_first, paley, rotation, sylvester

WIDTHS = [1, 2, 12, 20, 48, 64, 100, 192, 320, 384]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_column_is_constant_and_the_rest_orthogonal(width: int) -> None:
    matrix = constant_first(width)
    assert torch.allclose(matrix.t() @ matrix, torch.eye(width).double(), atol=1e-12)
    assert torch.allclose(matrix[:, 0], torch.full((width,), width**-0.5).double(), atol=1e-12)


@pytest.mark.parametrize("width", [2, 12, 20, 48, 192, 320])
def test_where_hadamard_s_matrix_is_known_all_its_entries_are_alike(width: int) -> None:
    assert torch.allclose(constant_first(width).abs(), torch.tensor(width**-0.5).double())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_rotation_keeps_lengths_and_means(width: int) -> None:
    matrix = rotation(width, seed=3)
    assert torch.allclose(matrix @ matrix.t(), torch.eye(width).double(), atol=1e-12)
    assert torch.allclose(matrix.sum(0), torch.ones(width).double(), atol=1e-11)
    assert torch.allclose(matrix.sum(1), torch.ones(width).double(), atol=1e-11)


def test_a_layer_norm_without_weights_commutes_with_a_rotation() -> None:
    x, matrix = torch.randn(7, 48).double() + 3, rotation(48, seed=0)
    normed = torch.nn.functional.layer_norm(x, [48])
    assert torch.allclose(torch.nn.functional.layer_norm(x @ matrix, [48]), normed @ matrix, atol=1e-10)


@pytest.mark.parametrize("width", [48, 100, 192])
def test_no_channel_goes_to_one_channel_alone(width: int) -> None:
    assert rotation(width, seed=0).abs().amax() < 5 * width**-0.5


def test_a_seed_says_which_rotation() -> None:
    assert torch.equal(rotation(48, seed=1), rotation(48, seed=1))
    assert not torch.equal(rotation(48, seed=1), rotation(48, seed=2))


@pytest.mark.parametrize("matrix", [sylvester(16), paley(11), paley(19)])
def test_signs_have_orthogonal_rows(matrix: torch.Tensor) -> None:
    assert torch.equal(matrix.abs(), torch.ones_like(matrix))
    assert torch.equal(matrix @ matrix.t(), len(matrix) * torch.eye(len(matrix)).double())
