from dataclasses import replace

from vitc.compress.recover.checkpoint import State
from vitc.compress.recover.plan import MARGIN, PATIENCE, Costs, Course, rate_at, stalled, steps_in

COURSE = Course(per_pass=10, views=2, checks=4)


def test_steps_fill_the_time_that_answers_and_checks_leave() -> None:
    costs = Costs(step=1.0, answers=0.5, check=2.0)
    # 8 for the checks, 10 for each pass, and 5 for the answers on each of the two views.
    assert steps_in(48.5 / MARGIN, costs, COURSE) == 30
    assert steps_in(47.5 / MARGIN, costs, COURSE) == 29
    assert steps_in(27.5 / MARGIN, costs, COURSE) == 10, "the second pass would only be answered"


def test_where_there_is_no_time_for_a_pass_a_step_takes_its_own_answers_alone() -> None:
    costs = Costs(step=1.0, answers=0.5, check=2.0)
    assert steps_in((8 + 14.9) / MARGIN, costs, COURSE) == 9
    assert steps_in((8 + 6.1) / MARGIN, costs, COURSE) == 4


def test_there_is_always_a_step() -> None:
    assert steps_in(0.0, Costs(1.0, 5.0, 2.0), COURSE) == 1
    assert steps_in(-9.0, Costs(1.0, 5.0, 2.0), COURSE) == 1


def test_rates_rise_and_fall() -> None:
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert rates[9] == rates[10] == 1
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[0] < 0.2
    assert 0 < rates[-1] < 0.01
    assert rate_at(0, 1, 0.05) == 1


def test_it_has_stalled_when_no_check_was_better_for_long_at_the_same_rates() -> None:
    state = State(100, "fp32", step=5 * PATIENCE)
    assert stalled(state, 5)
    assert not stalled(replace(state, step=5 * PATIENCE - 5), 5)
    assert not stalled(replace(state, best_step=5), 5)
    assert not stalled(replace(state, fell=5), 5), "rates have only just fallen"


def test_patience_begins_where_attention_no_longer_learns_alone() -> None:
    state = State(100, "fp32", step=50 + 4 * PATIENCE)
    assert stalled(state, 5)
    assert not stalled(state, 5, alone=0.5)
    assert stalled(replace(state, step=100), 5, alone=0.5)
