import pytest
import torch
from torch import Tensor, nn

from vitc.errors import UserError
from vitc.models.program import export_program, trace


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(image.mean((2, 3)))
        return result


class Branching(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image if image.sum() > 0 else -image


def test_the_batch_is_free_unless_it_is_fixed() -> None:
    module = Pooled().eval()
    free = trace(module, (3, 8, 8))
    for batch in (1, 5):
        image = torch.randn(batch, 3, 8, 8)
        assert torch.equal(free(image), module(image))
    shape = export_program(module, (3, 8, 8), batch=3).graph_signature.user_inputs
    fixed = next(n for n in export_program(module, (3, 8, 8), batch=3).graph.nodes if n.name == shape[0])
    assert fixed.meta["val"].shape == (3, 3, 8, 8)
    assert all(isinstance(size, int) for size in fixed.meta["val"].shape)


def test_what_cannot_be_traced_is_one_line() -> None:
    with pytest.raises(UserError, match="cannot trace") as caught:
        export_program(Branching().eval(), (3, 8, 8))
    assert "\n" not in str(caught.value)
