import pytest
import torch

from vitc.runtimes.mil_arguments import Arguments, UnknownFormError

A = Arguments(
    {"x": torch.ones(2), "axes": torch.tensor([1, -2]), "yes": torch.tensor(1), "mode": "EXACT", "bias": None}
)


def test_inputs_are_read_as_what_they_are_taken_for() -> None:
    assert A.ints("axes") == [1, -2]
    assert (A.integer("yes"), A.number("yes"), A.flag("yes")) == (1, 1.0, True)
    assert A.word("mode") == "EXACT"
    assert A.maybe("bias") is None
    assert A.maybe("never") is None
    assert not A.flag("bias")


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda: A.tensor("mode"), "mode that is no tensor"),
        (lambda: A.tensor("bias"), "bias that is no tensor"),
        (lambda: A.tensors("x"), "x that is no list"),
        (lambda: A.word("x"), "x that is no word"),
    ],
)
def test_what_is_something_else_is_named(read: object, told: str) -> None:
    assert callable(read)
    with pytest.raises(UnknownFormError, match=told):
        read()
