from vitc.compress.recover.plan import MARGIN, Costs, Course, steps_in

COURSE = Course(per_pass=10, views=2, checks=4)


def test_steps_fill_the_time_that_answers_and_checks_leave() -> None:
    costs = Costs(step=1.0, answers=5.0, check=2.0)
    # 8 for the checks, 10 for each pass, and 5 for the answers on the second view; those on the first are there.
    assert steps_in(43.5 / MARGIN, costs, COURSE) == 30
    assert steps_in(42.5 / MARGIN, costs, COURSE) == 29
    assert steps_in(22.5 / MARGIN, costs, COURSE) == 10, "the second pass would only be answered"


def test_there_is_always_a_step() -> None:
    assert steps_in(0.0, Costs(1.0, 5.0, 2.0), COURSE) == 1
    assert steps_in(-9.0, Costs(1.0, 5.0, 2.0), COURSE) == 1
