"""Techniques that are applied without a run have something to note into, and share nothing."""

from vitc.compress.aids import Aids


def test_each_has_losses_of_its_own() -> None:
    one, other = Aids(), Aids()
    one.losses.notes.append("done")
    assert other.losses.notes == []
    assert (one.teacher, one.clock, one.folder) == (None, None, None)
