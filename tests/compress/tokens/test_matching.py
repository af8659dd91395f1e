import pytest
import torch
from torch import Tensor

from vitc.compress.tokens.matching import match, merge, most, take

X = torch.randn(3, 18, 8, generator=torch.Generator().manual_seed(0))
KEYS = torch.randn(3, 18, 4, generator=torch.Generator().manual_seed(1))
SIZES = torch.randint(1, 4, (3, 18), generator=torch.Generator().manual_seed(2)).float()


def by_hand(x: Tensor, keys: Tensor, sizes: Tensor, prefix: int, count: int) -> tuple[list[Tensor], list[float]]:
    """One image, token by token, in the paper's words."""
    sources, destinations = range(prefix + 1, len(x), 2), range(prefix, len(x), 2)
    edges = []
    for source in sources:
        alike = {one: float(torch.cosine_similarity(keys[source], keys[one], 0)) for one in destinations}
        best = max(alike, key=lambda one: alike[one])
        edges.append((alike[best], source, best))
    gone = {source: into for _, source, into in sorted(edges, reverse=True)[:count]}
    kept = [token for token in sources if token not in gone]
    tokens, weights = [], []
    for token in (*range(prefix), *kept, *destinations):
        together = [token, *(source for source, into in gone.items() if into == token)]
        total = sum(float(sizes[one]) for one in together)
        tokens.append(torch.stack([x[one] * sizes[one] for one in together]).sum(0) / total)
        weights.append(total)
    return tokens, weights


@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_merging_is_that_of_the_paper(prefix: int, count: int) -> None:
    merged, sizes = merge(X, SIZES, match(KEYS, prefix, count), prefix)
    for image in range(len(X)):
        tokens, weights = by_hand(X[image], KEYS[image], SIZES[image], prefix, count)
        torch.testing.assert_close(merged[image], torch.stack(tokens))
        torch.testing.assert_close(sizes[image], torch.tensor(weights))


def test_sizes_and_weighted_sums_are_kept() -> None:
    merged, sizes = merge(X, SIZES, match(KEYS, 1, 8), 1)
    assert merged.shape[1] == sizes.shape[1] == 10
    torch.testing.assert_close(sizes.sum(1), SIZES.sum(1))
    torch.testing.assert_close((merged * sizes[..., None]).sum(1), (X * SIZES[..., None]).sum(1))
    torch.testing.assert_close(merged[:, 0], X[:, 0])


def test_tokens_that_are_equal_are_merged_first() -> None:
    keys = torch.eye(6)[None].clone()
    keys[0, 5] = 3 * keys[0, 2]
    matching = match(keys, 0, 1)
    assert (matching.merged.item(), matching.into.item()) == (5, 1), "token 2 is the second destination"


def test_equal_keys_and_keys_that_are_zero_lose_nothing() -> None:
    for keys in (torch.zeros(1, 9, 4), torch.ones(1, 9, 4)):
        merged, sizes = merge(X[:1, :9], torch.ones(1, 9), match(keys, 1, 3), 1)
        assert merged.isfinite().all()
        assert sizes.sum() == 9


@pytest.mark.parametrize(("tokens", "prefix", "count"), [(197, 1, 98), (198, 2, 98), (16, 0, 8), (4, 1, 1), (1, 1, 0)])
def test_at_most_the_sources_are_merged(tokens: int, prefix: int, count: int) -> None:
    assert most(tokens, prefix) == count


def test_taking_is_a_gather_of_rows() -> None:
    positions = torch.tensor([[2, 0], [1, 1], [17, 5]])
    torch.testing.assert_close(take(X, positions), X.gather(1, positions[..., None].expand(-1, -1, 8)))
    torch.testing.assert_close(take(SIZES, positions), SIZES.gather(1, positions))
