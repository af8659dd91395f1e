import pytest

from vitc.compress.scheme import SCHEMES
from vitc.export import TARGETS, Target
from vitc.runtimes import RUNTIMES


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_target_names_a_scheme_and_an_engine_that_there_are(target: Target) -> None:
    assert TARGETS[target.name] is target
    assert target.scheme in SCHEMES
    assert set(target.runtimes) <= set(RUNTIMES)
    assert RUNTIMES[target.runtimes[0]].timed


def test_onnx_is_offered() -> None:
    assert "onnx" in TARGETS
