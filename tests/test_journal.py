"""A stage is taken for finished only when its inputs and its files are those it was finished with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vitc.errors import UserError
from vitc.journal import FOLDER, Finished, Journal, digest, file_sha256


class Stage:
    """A stage that writes one file and counts how often it had to."""

    def __init__(self, out: Path) -> None:
        self.out, self.output, self.worked = out, out / "output", 0

    def do(self, inputs: Mapping[str, Any] | None = None, *, resume: bool = True) -> Finished:
        """The stage in a run of its own."""
        return Journal(self.out, resume=resume).stage("make/it", inputs or {"a": 1}, [self.output], self.work)

    def work(self) -> dict[str, Any]:
        self.worked += 1
        self.output.write_text("made")
        return {"times": self.worked}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage that one run has finished."""
    made = Stage(tmp_path / "run")
    made.do(resume=False)
    return made


def note(stage: Stage) -> Path:
    (found,) = (stage.out / FOLDER).glob("*.json")
    return found


def test_a_finished_stage_is_not_done_again(stage: Stage) -> None:
    again = stage.do()
    assert again.reused
    assert again.result == {"times": 1}
    assert stage.worked == 1


def test_the_first_run_of_a_stage_is_not_reused(tmp_path: Path) -> None:
    first = Stage(tmp_path / "run").do(resume=False)
    assert not first.reused
    assert first.result == {"times": 1}


def test_inputs_in_another_order_are_the_same(stage: Stage) -> None:
    stage.do({"a": 1, "b": 2})
    assert stage.do({"b": 2, "a": 1}).reused


def test_other_inputs_are_other_work(stage: Stage) -> None:
    assert not stage.do({"a": 2}).reused
    assert not stage.do({"a": 1}).reused


def test_a_changed_output_is_made_again(stage: Stage) -> None:
    stage.output.write_text("mades")
    assert not stage.do().reused
    assert stage.output.read_text() == "made"


def test_a_missing_output_is_made_again(stage: Stage) -> None:
    stage.output.unlink()
    assert not stage.do().reused
    assert stage.output.read_text() == "made"


def test_every_file_of_an_output_folder_counts(tmp_path: Path) -> None:
    out, folder = tmp_path / "run", tmp_path / "run" / "deep" / "folder"

    def work() -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "one").write_text("1")
        return {}

    def do() -> bool:
        return Journal(out, resume=True).stage("folder", {}, [out / "deep"], work).reused

    assert [do(), do()] == [False, True]
    (folder / "two").write_text("2")
    assert not do()
    (folder / "one").write_text("changed")
    assert not do()


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_note_that_is_cut_short_is_not_taken(stage: Stage, kept: int) -> None:
    note(stage).write_bytes(note(stage).read_bytes()[:kept])
    assert not stage.do().reused
    assert stage.do().reused


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"key": "x"}', "\udcff"])
def test_a_note_of_another_form_is_not_taken(stage: Stage, text: str) -> None:
    note(stage).write_bytes(text.encode(errors="surrogateescape"))
    assert not stage.do().reused


def test_a_stage_that_fails_leaves_no_note(stage: Stage) -> None:
    def fail() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Journal(stage.out, resume=True).stage("make/it", {"a": 2}, [stage.output], fail)
    assert not any((stage.out / FOLDER).iterdir())


def test_a_result_is_the_same_whether_new_or_read_back(tmp_path: Path) -> None:
    def do() -> Finished:
        return Journal(tmp_path / "run", resume=True).stage("pair", {}, [], lambda: {"pair": (1, 2)})

    assert do().result == do().result == {"pair": [1, 2]}


def test_what_a_killed_run_left_half_written_is_removed(stage: Stage) -> None:
    (stage.out / "model.pt2.partial").write_text("half")
    Journal(stage.out, resume=True)
    assert not (stage.out / "model.pt2.partial").exists()


def test_a_run_is_not_overwritten_unasked(stage: Stage) -> None:
    with pytest.raises(UserError, match=r"holds a run; add --resume"):
        stage.do(resume=False)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_other_files_is_left_alone(tmp_path: Path, *, resume: bool) -> None:
    (tmp_path / "mine.partial").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        Journal(tmp_path, resume=resume)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.partial"]


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        Journal(tmp_path / "file", resume=False)
    with pytest.raises(UserError, match="cannot write to"):
        Journal(tmp_path / "file" / "below", resume=False)


def test_there_may_be_nothing_to_resume(tmp_path: Path) -> None:
    assert not Stage(tmp_path / "new").do(resume=True).reused


def test_a_run_that_finished_nothing_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", resume=False)
    (tmp_path / "run" / "recipe.toml").write_text("")
    journal.discard_if_empty()
    assert not any(tmp_path.iterdir())


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    Journal(tmp_path, resume=False).discard_if_empty()
    assert tmp_path.is_dir()
    assert not any(tmp_path.iterdir())


def test_what_was_finished_is_never_discarded(stage: Stage) -> None:
    before = sorted(stage.out.rglob("*"))
    Journal(stage.out, resume=True).discard_if_empty()
    assert sorted(stage.out.rglob("*")) == before


def test_a_digest_tells_values_apart() -> None:
    values = [{"a": 1}, {"a": "1"}, {"a": [1]}, {"b": 1}, {}]
    assert len({digest(value) for value in values}) == len(values)


def test_a_files_hash_is_that_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("one")
    (tmp_path / "c").write_text("two")
    assert file_sha256(tmp_path / "a") == file_sha256(tmp_path / "b") != file_sha256(tmp_path / "c")


def test_a_stage_goes_on_only_from_its_own_inputs(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", resume=False)
    one, other = (journal.workplace("recover", {"a": value}) for value in (1, 2))
    assert one == Journal(tmp_path / "run", resume=True).workplace("recover", {"a": 1})
    assert one != other
    assert not one.exists()
    kept = journal.notes / "recovery-pixels"
    for folder in (one, other, kept):
        folder.mkdir()
    (journal.notes / "recover-x.json").write_text("{}")
    journal.tidy("recover")
    assert sorted(journal.notes.iterdir()) == [journal.notes / "recover-x.json", kept]
