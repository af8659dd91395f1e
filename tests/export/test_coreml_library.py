import importlib.util
import logging
import sys
from importlib.machinery import ModuleSpec

import pytest

from vitc.errors import NotAvailable
from vitc.export import coreml_library


def absent(name: str) -> ModuleSpec | None:
    return None


def test_what_is_not_installed_is_said_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreml_library, "find_spec", absent)
    assert coreml_library.missing() == "coremltools is not installed: pip install coremltools"
    with pytest.raises(NotAvailable, match="pip install coremltools"):
        coreml_library.library()


def test_the_library_is_the_module() -> None:
    pytest.importorskip("coremltools")
    assert importlib.util.find_spec("coremltools")
    assert coreml_library.missing() is None
    assert coreml_library.library() is sys.modules["coremltools"]


def test_quiet_is_quiet_and_ends(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("coremltools")
    before = logger.level
    with coreml_library.quiet():
        sys.stderr.write("a bar")
        logger.critical("a remark")
    assert logger.level == before
    assert not caplog.records
    sys.stderr.write("after")
    assert capsys.readouterr().err == "after"


def test_quiet_ends_where_something_fails() -> None:
    logger, stream = logging.getLogger("coremltools"), sys.stderr
    before = logger.level
    with pytest.raises(ValueError, match="of the block"), coreml_library.quiet():
        raise ValueError("of the block")
    assert (logger.level, sys.stderr) == (before, stream)
