"""Each kind of failure has the exit code that the command line documents."""

import pytest

from vitc.errors import NotAvailable, UserError, VerificationFailed, VitcError


@pytest.mark.parametrize(("kind", "code"), [(VerificationFailed, 1), (UserError, 2), (NotAvailable, 3)])
def test_each_kind_has_its_exit_code(kind: type[VitcError], code: int) -> None:
    assert kind("what is wrong").exit_code == code
    assert issubclass(kind, VitcError)


def test_every_kind_that_there_is_ends_with_a_documented_code() -> None:
    assert {kind.exit_code for kind in VitcError.__subclasses__()} == {1, 2, 3}


def test_the_message_is_the_line() -> None:
    assert str(UserError("threads is 0; it must be at least 1")) == "threads is 0; it must be at least 1"
