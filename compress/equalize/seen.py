"""What the linears of a place are seen to read."""

from collections.abc import Iterator, Sequence

import torch

from ...models.data import Batches
from ..draft import Bits, Draft
from ..observe import Seen, observe
from .affine import Place


def observe_places(
    draft: Draft, places: Sequence[Place], batches: Batches, rows: int = 0
) -> Iterator[tuple[Place, Seen, list[Bits | None]]]:
    """For each place that a quantized linear reads: what its readers see, and the widths of each."""
    read = [(place, [draft.bits_of(reader) for reader in place.readers]) for place in places]
    quantized = [(place, bits) for place, bits in read if any(bits)]
    sources = {reader.all_input_nodes[0]: -1 for place, _ in quantized for reader in place.readers}
    seen = observe(draft.program, sources, batches, rows) if sources else {}
    for place, bits in quantized:
        each = [seen[source] for source in dict.fromkeys(reader.all_input_nodes[0] for reader in place.readers)]
        low = torch.stack([one.low for one in each]).amin(0)
        high = torch.stack([one.high for one in each]).amax(0)
        yield place, Seen(low, high, torch.cat([one.rows for one in each])), bits
