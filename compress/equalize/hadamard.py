"""Orthogonal matrices that spread every channel over all, and leave alone the vector of ones.

A LayerNorm subtracts the mean, which is a product with the vector of ones, and divides by a length. So without its
weight and bias it commutes with every rotation that fixes that vector (QuaRot, arXiv 2404.00456, turns LayerNorm into
RMSNorm to have this for all rotations; there is no need).
"""

import torch
from scipy.fft import dct
from torch import Tensor

PALEY = (11, 19)
"""Primes q, 3 modulo 4: Paley's construction gives Hadamard matrices of order q + 1."""


def rotation(width: int, seed: int) -> Tensor:
    """An orthogonal, symmetric matrix of double precision that maps ones to ones: H diag(1, random signs) H'."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (width,), generator=generator).double() * 2 - 1
    signs[0] = 1
    basis = constant_first(width)
    matrix: Tensor = basis * signs @ basis.t()
    return matrix


def constant_first(width: int) -> Tensor:
    """An orthogonal matrix whose first column is constant: Hadamard's where one is known, else the cosines."""
    for order in (1, *(prime + 1 for prime in PALEY)):
        factor, rest = divmod(width, order)
        if rest == 0 and factor & (factor - 1) == 0:
            matrix = torch.kron(sylvester(factor), paley(order - 1) if order > 1 else torch.ones(1, 1).double())
            return matrix.mul(matrix[:, :1]).div(width**0.5)
    cosines: Tensor = torch.from_numpy(dct(torch.eye(width, dtype=torch.float64).numpy(), axis=0, norm="ortho"))
    return cosines.t().contiguous()


def sylvester(order: int) -> Tensor:
    """Signs of order 2^k with orthogonal rows."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < order:
        matrix = torch.kron(matrix, torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64))
    return matrix


def paley(prime: int) -> Tensor:
    """Signs of order `prime` + 1 with orthogonal rows: I + S, with S made of the quadratic residues (Paley, 1933)."""
    squares = {value * value % prime for value in range(1, prime)}
    character = torch.tensor([0.0] + [1.0 if value in squares else -1.0 for value in range(1, prime)]).double()
    index = torch.arange(prime)
    matrix = torch.zeros(prime + 1, prime + 1, dtype=torch.float64)
    matrix[0, 1:], matrix[1:, 0] = 1, -1
    matrix[1:, 1:] = character[(index[:, None] - index) % prime]
    return matrix + torch.eye(prime + 1, dtype=torch.float64)
