"""A trial answers as the program would with other parameters, and leaves the program as it was."""

import torch
from torch import Tensor, nn

from vitc.compress.structure.pairs import find_pairs
from vitc.compress.structure.trials import compare, divergence, measure
from vitc.models.program import trace

SIZE = (3, 4, 4)


class Residual(nn.Module):
    """Two perceptrons on a stream that one of them is added to in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 4))
        self.second = nn.Sequential(nn.Linear(4, 8, bias=False), nn.GELU(), nn.Linear(8, 4, bias=False))
        self.head = nn.Linear(48, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = images * 2
        x += self.first(x)
        x = x + self.second(x)
        answer: Tensor = self.head(x.flatten(1))
        return answer


def images(count: int) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(0))


def test_trials_are_what_the_changed_model_answers() -> None:
    torch.manual_seed(0)
    module = Residual().eval()
    program, x = trace(module, SIZE), images(7)
    first, second = (pair.reader for pair in find_pairs(program))
    tried = [(torch.randn(4, 8), torch.randn(4)) for _ in range(3)]
    with torch.no_grad():
        exact = module(x)
        found = measure(program, {first: tried[:2], second: tried[2:]}, x.split(3))
        for site, layers, those in ((first, module.first, tried[:2]), (second, module.second, tried[2:])):
            own, wanted = layers[2], []
            for weight, bias in those:
                layers[2] = nn.Linear(8, 4)
                layers[2].load_state_dict({"weight": weight, "bias": bias})
                wanted.append(float(divergence(exact, module(x)).mean()))
            layers[2] = own
            torch.testing.assert_close(found[site], wanted, rtol=1e-4, atol=1e-6)
        assert torch.equal(program(x), exact)


def test_the_same_parameters_are_no_change() -> None:
    torch.manual_seed(0)
    module = Residual().eval()
    program = trace(module, SIZE)
    first = find_pairs(program)[0].reader
    layer = module.first[2]
    assert isinstance(layer, nn.Linear)
    found = measure(program, {first: [(layer.weight, layer.bias)]}, [images(3)])
    assert found[first][0] < 1e-9


def test_changes_may_be_of_several_nodes_and_be_compared_with_something_else() -> None:
    torch.manual_seed(0)
    module = Residual().eval()
    program, x = trace(module, SIZE), images(7)
    first, second = (pair.reader for pair in find_pairs(program))
    shift = {node: lambda x, *_: torch.ones(*x.shape[:-1], 4) for node in (first, second)}
    with torch.no_grad():
        exact = module(x)
        both = module.head((x * 2 + 2).flatten(1))
        one = x * 2 + 1
        alone = module.head((one + module.second(one)).flatten(1))
        found = compare(program, [shift, {first: shift[first]}], x.split(3))
        near = compare(program, [shift], x.split(3), lambda batch: module.head((batch * 2 + 2).flatten(1)))
    for answer, loss in zip((both, alone), found, strict=True):
        torch.testing.assert_close(loss, float(divergence(exact, answer).mean()), rtol=1e-4, atol=1e-6)
    assert near[0] < 1e-9 < found[0]


def test_divergence_is_between_probabilities() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    other = torch.tensor([[0.0, 1.0, 1.0]])
    p, q = (x.double().softmax(1) for x in (logits, other))
    torch.testing.assert_close(divergence(logits, other), (p * (p / q).log()).sum(1))
    assert divergence(logits, logits + 7).item() < 1e-9, "a constant makes no difference"
    assert divergence(torch.zeros(1, 1), torch.full((1, 1), 2.0)).item() == 4, "one number is no probability"
