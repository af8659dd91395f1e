"""What is held out is not learned from, and calibration images come more often than others."""

import pytest

from vitc.compress.recover.places import apportioned, reached, set_aside, shuffled


@pytest.mark.parametrize(("calibrated", "aside"), [(0, 6), (60, 12)])
def test_of_images_of_one_kind_a_tenth_is_held_out_and_of_calibration_images_a_fifth(
    calibrated: int, aside: int
) -> None:
    held, places = apportioned(60, calibrated, 0)
    assert len(held) == aside
    assert sorted([*held, *places]) == list(range(60))


@pytest.mark.parametrize(("count", "calibrated"), [(2, 0), (2, 1), (2, 2), (10, 1)])
def test_of_few_images_one_is_held_out_and_some_are_learned_from(count: int, calibrated: int) -> None:
    held, places = apportioned(count, calibrated, 0)
    assert len(held) == 1
    assert {place % count for place in places} == set(range(count)) - set(held)


@pytest.mark.parametrize("count", [60, 90])
def test_the_calibration_images_that_are_held_out_are_those_that_were_set_aside(count: int) -> None:
    held, _ = apportioned(count, 30, 5)
    aside = [count - 30 + place for place in set_aside(30, 5)]
    assert [place for place in held if place >= count - 30] == aside
    assert set_aside(30, 5) != set_aside(30, 6)
    assert set_aside(1, 0) == [], "else nothing would be left to calibrate with"


def test_many_images_hold_no_more_out_than_serves() -> None:
    assert len(apportioned(9000, 0, 0)[0]) == 200


@pytest.mark.parametrize(("calibrated", "looks", "beside"), [(5, 4, 1), (10, 4, 2), (20, 2, 4), (30, 1, 3), (50, 1, 1)])
def test_of_both_kinds_some_are_held_out_and_calibration_images_come_more_often(
    calibrated: int, looks: int, beside: int
) -> None:
    held, places = apportioned(60, calibrated, 0)
    others, last = set(range(60 - calibrated)), set(range(60 - calibrated, 60))
    assert len(last & set(held)) == calibrated // 5
    assert len(others & set(held)) == beside
    assert len(held) == calibrated // 5 + beside
    assert sorted(place for place in places if place in others) == sorted(others - set(held))
    again = [place % 60 for place in places if place not in others]
    assert sorted(again) == sorted(looks * [*(last - set(held))])
    assert len(set(places)) == len(places), "each look is another one"


def test_of_more_images_than_there_is_time_for_some_of_each_kind_are_left() -> None:
    _, places = apportioned(600, 100, 0)
    left = reached(places, 200, 0)
    assert len(set(left)) == 200
    assert set(left) < set(places)
    shares = [sum(place % 600 >= 500 for place in those) / len(those) for those in (places, left)]
    assert abs(shares[0] - shares[1]) < 0.1
    assert reached(places, len(places), 0) == places


def test_every_place_comes_once_a_pass() -> None:
    assert sorted(shuffled(20, 0, 3)) == list(range(20))
    assert shuffled(20, 0, 3) != shuffled(20, 0, 4) != shuffled(20, 1, 4)
