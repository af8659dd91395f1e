import sys

import pytest

from vitc.errors import UserError
from vitc.runtimes.energy.command import meter, parse


@pytest.mark.parametrize("line", ["12.5\n", " 12.5 ", "1.25e1\n"])
def test_a_line_is_a_number_of_watts(line: str) -> None:
    told = parse(line)
    assert told is not None
    assert told.value == 12.5


def test_an_empty_line_tells_nothing() -> None:
    assert parse("\n") is None


@pytest.mark.parametrize("line", ["12 W", "nan", "-1", "inf", "power: 3", "1,5", "\x1b[31m5"])
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="which is no number of watts"):
        parse(line)


@pytest.mark.parametrize("command", ["", "  ", "'no end", "no-such-command-here --watts"])
def test_a_command_that_cannot_be_run_is_refused(command: str) -> None:
    with pytest.raises(UserError, match="prints watts, a number a line"):
        meter(command)


def test_a_command_names_its_source() -> None:
    assert meter(f"{sys.executable} -c 'print(1)'").name == f"meter {sys.executable} -c 'print(1)'"
