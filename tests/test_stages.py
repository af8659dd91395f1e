"""Stages are told, timed for the record, and reused from an earlier run."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vitc.journal import Journal
from vitc.progress import Advance, Progress
from vitc.stages import Stages

Begin = Callable[..., tuple[Stages, io.StringIO]]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begins a run in one folder, with the versions of packages that it is told of."""

    def run(versions: Mapping[str, str] | None = None) -> tuple[Stages, io.StringIO]:
        said = io.StringIO()
        journal = Journal(tmp_path / "run", resume=True)
        return Stages(journal, Progress(Console(file=said)), versions or {"vitc": "1"}), said

    return run


def score(_: Advance) -> dict[str, Any]:
    return {"params": 5, "macs": 6, "top1": 7.5, "images": 8}


def test_a_stage_gives_its_result_and_its_row(begin: Begin) -> None:
    stages, said = begin()
    assert stages.do("score", {}, [], score)["top1"] == 7.5
    (row,) = stages.done
    assert (row.name, row.params, row.macs, row.top1, row.images) == ("score", 5, 6, 7.5, 8)
    assert row.seconds >= 0
    assert "score" in said.getvalue()
    assert "reused" not in said.getvalue()


def test_what_a_step_says_of_itself_is_kept_also_when_it_is_reused(begin: Begin) -> None:
    for _ in range(2):
        stages, _ = begin()
        stages.do("prune", {}, [], lambda _: {"notes": ["of 8 neurons 2 go"]})
        assert stages.done[0].notes == ("of 8 neurons 2 go",)


def test_a_stage_need_not_have_every_figure(begin: Begin) -> None:
    stages, _ = begin()
    stages.do("save", {}, [], lambda _: {})
    (row,) = stages.done
    assert (row.params, row.macs, row.top1, row.images) == (None, None, None, 0)


def test_a_reused_stage_is_said_and_keeps_its_row(begin: Begin) -> None:
    first, _ = begin()
    first.do("score", {"a": 1}, [], score)
    again, said = begin()
    again.do("score", {"a": 1}, [], lambda _: {})
    assert again.done == first.done
    assert "score: reused from an earlier run" in said.getvalue()


@pytest.mark.parametrize(("inputs", "versions"), [({"a": 2}, {"vitc": "1"}), ({"a": 1}, {"vitc": "2"})])
def test_other_inputs_or_versions_are_other_work(
    begin: Begin, inputs: Mapping[str, Any], versions: Mapping[str, str]
) -> None:
    begin()[0].do("score", {"a": 1}, [], score)
    stages, said = begin(versions)
    assert stages.do("score", inputs, [], lambda _: {"top1": 1.0})["top1"] == 1.0
    assert "reused" not in said.getvalue()


def test_stages_stand_in_the_order_in_which_they_were_done(begin: Begin) -> None:
    stages, _ = begin()
    for name in ("b", "a", "c"):
        stages.do(name, {}, [], lambda _: {})
    assert [row.name for row in stages.done] == ["b", "a", "c"]


def test_work_tells_how_far_it_is(begin: Begin) -> None:
    def work(advance: Advance) -> dict[str, Any]:
        for _ in range(3):
            advance(1)
        return {"images": 3}

    assert begin()[0].do("decode", {}, [], work, total=3)["images"] == 3


def test_what_a_stage_goes_on_from_depends_on_versions(begin: Begin) -> None:
    one, other = (begin(versions)[0] for versions in ({"vitc": "1"}, {"vitc": "2"}))
    assert one.workplace("recover", {"a": 1}) == one.workplace("recover", {"a": 1})
    assert one.workplace("recover", {"a": 1}) != other.workplace("recover", {"a": 1})
    one.workplace("recover", {"a": 1}).mkdir()
    other.tidy("recover")
    assert not one.workplace("recover", {"a": 1}).exists()
