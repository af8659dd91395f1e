import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from vitc import libraries
from vitc.errors import NotAvailable

LIBRARIES: dict[str, Callable[[], Any]] = {
    "onnxruntime": libraries.onnxruntime,
    "openvino": libraries.openvino,
    "nncf": libraries.nncf,
    "coremltools": libraries.coremltools,
    "torch_pruning": libraries.torch_pruning,
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_is_the_module_of_that_name(name: str) -> None:
    pytest.importorskip(name)
    assert libraries.missing(name) is None
    assert LIBRARIES[name]() is sys.modules[name]


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_not_installed_is_said_with_the_line_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    line = f"{name} is not installed: pip install {name}"
    assert libraries.missing(name) == line
    with pytest.raises(NotAvailable) as told:
        LIBRARIES[name]()
    assert str(told.value) == line


def test_a_module_that_is_blocked_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert libraries.missing("onnxruntime")


def test_quiet_is_quiet_and_ends(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("coremltools")
    before = logger.level
    with libraries.quiet():
        sys.stderr.write("a bar")
        logger.critical("a remark")
    assert logger.level == before
    assert not caplog.records
    sys.stderr.write("after")
    assert capsys.readouterr().err == "after"


def test_quiet_ends_where_something_fails() -> None:
    logger, stream = logging.getLogger("coremltools"), sys.stderr
    before = logger.level
    with pytest.raises(ValueError, match="of the block"), libraries.quiet():
        raise ValueError("of the block")
    assert (logger.level, sys.stderr) == (before, stream)
