"""What is said on a terminal, elsewhere, and when quiet."""

import io
import re

import pytest
from rich.console import Console

from vitc.progress import Progress


def console(*, terminal: bool = False, quiet: bool = False) -> tuple[Console, io.StringIO]:
    said = io.StringIO()
    environ = {"TERM": "xterm"}
    return Console(file=said, force_terminal=terminal, quiet=quiet, width=100, _environ=environ), said


def test_elsewhere_a_finished_step_is_one_line() -> None:
    screen, said = console()
    with Progress(screen).step("decode", 3) as advance:
        advance(3)
    assert re.fullmatch(r"decode: \d+\.\d s\n", said.getvalue())


def test_a_step_that_fails_is_not_told_as_finished() -> None:
    screen, said = console()
    with pytest.raises(ValueError, match="broken"), Progress(screen).step("decode"):
        raise ValueError("broken")
    assert not said.getvalue()


def test_a_terminal_shows_how_far_a_step_is() -> None:
    screen, said = console(terminal=True)
    with Progress(screen).step("decode", 3) as advance:
        advance(2)
    assert "2/3" in said.getvalue()


def test_steps_inside_a_step_share_its_display() -> None:
    screen, said = console(terminal=True)
    progress = Progress(screen)
    with progress.step("outer", 2) as outer:
        with progress.step("inner", 5) as inner:
            inner(4)
        outer(1)
    with progress.step("next", 7) as advance:
        advance(6)
    for shown in ("4/5", "1/2", "6/7"):
        assert shown in said.getvalue()


def test_a_step_that_fails_gives_the_terminal_back() -> None:
    screen, said = console(terminal=True)
    progress = Progress(screen)
    with pytest.raises(KeyboardInterrupt), progress.step("first"):
        raise KeyboardInterrupt
    with progress.step("second", 2) as advance:
        advance(1)
    assert "1/2" in said.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_says_nothing(*, terminal: bool) -> None:
    screen, said = console(terminal=terminal, quiet=True)
    progress = Progress(screen)
    with progress.step("decode", 3) as advance:
        advance(1)
    progress.note("anything")
    assert not said.getvalue()


def test_a_library_user_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().note("anything")
    heard = capsys.readouterr()
    assert not heard.out + heard.err


def test_a_note_is_one_line_as_it_is() -> None:
    screen, said = console()
    text = "left out: [bold]" + "x" * 300
    Progress(screen).note(text)
    assert said.getvalue() == text + "\n"
