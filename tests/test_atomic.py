"""A name points at something whole or at nothing, however the writing ends."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vitc.atomic import SUFFIX, remove, remove_partials, replacing, write_text


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder and its content."""
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def fill(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text(name)


def test_the_name_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert partial.name.endswith(SUFFIX)
    assert tree(tmp_path) == {"a.txt": "new"}


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert tree(tmp_path) == {"a.txt": "new"}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    with replacing(tmp_path / "out") as partial:
        fill(partial, "new")
    assert tree(tmp_path) == {"out/new": "new"}


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("begin", [lambda partial: partial.write_text("half"), lambda partial: fill(partial, "half")])
def test_a_block_that_fails_leaves_what_was_there(
    tmp_path: Path, begin: Callable[[Path], object], failure: BaseException
) -> None:
    (tmp_path / "a").write_text("old")

    def write() -> None:
        with replacing(tmp_path / "a") as partial:
            begin(partial)
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert tree(tmp_path) == {"a": "old"}


def test_a_failure_of_the_system_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as failure, replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert failure.value.filename == str(tmp_path / "a")


def test_what_a_killed_run_left_does_not_mix_with_the_new(tmp_path: Path) -> None:
    fill(tmp_path / f"out{SUFFIX}", "half")
    with replacing(tmp_path / "out") as partial:
        fill(partial, "new")
    assert tree(tmp_path) == {"out/new": "new"}


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "naïve …\n")
    assert (tmp_path / "a.txt").read_bytes() == "naïve …\n".encode()


def test_partials_are_removed_at_every_depth_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path / "kept", "whole")
    fill(tmp_path / "kept" / f"folder{SUFFIX}", f"inner{SUFFIX}")
    (tmp_path / "kept" / f"file{SUFFIX}").write_text("half")
    remove_partials(tmp_path)
    assert tree(tmp_path) == {"kept/whole": "whole"}


def test_a_link_is_removed_and_what_it_points_to_stays(tmp_path: Path) -> None:
    fill(tmp_path / "far", "kept")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    remove(tmp_path / "link")
    remove(tmp_path / "nowhere")
    assert tree(tmp_path) == {"far/kept": "kept"}
