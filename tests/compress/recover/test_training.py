"""Training goes on where it was stopped as if it had not been, keeps the best there was, and ends in time."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.quantize import Quantize
from vitc.compress.recover import devices, training
from vitc.compress.recover.answers import Answers
from vitc.compress.recover.checkpoint import State
from vitc.compress.recover.duration import Duration, parse
from vitc.compress.recover.loss import LAST, Feature, Weights
from vitc.compress.recover.plan import FALLS, PATIENCE
from vitc.compress.recover.student import Student
from vitc.compress.recover.training import How, Lesson, Training
from vitc.compress.recover.views import Views
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.indexed import Held

HOW = How(batch=8, rate=3e-3, views=2)
IMAGES = torch.randn(60, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def student(moved: float = 0.0) -> Student:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.Linear(16, 6)).eval()
    for parameter in module.parameters():
        parameter.data.add_(moved * torch.randn_like(parameter))
    return Student(Backbone("tiny", module, Preprocessing((3, 8, 8)), 6, (), "abc"))


def lesson(
    folder: Path | None = None, duration: Duration | None = None, labels: Tensor | None = None, seed: int = 0
) -> Lesson:
    views = Views(Held(IMAGES), Preprocessing((3, 8, 8)), seed)
    return Lesson(student(), views, duration or parse("20steps"), labels, folder)


def learned(moved: float = 0.05, how: How = HOW, given: Lesson | None = None) -> tuple[dict[str, Tensor], State]:
    pupil = student(moved)
    state = Training(pupil, given or lesson(), how).run(lambda _: None)
    return pupil.learned(), state


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_student_comes_nearer_to_its_teacher() -> None:
    _, state = learned(0.02, given=lesson(duration=parse("60steps")))
    assert min(state.history) < 0.7 * state.history[0]
    assert list(state.compared) == [LAST]


@pytest.mark.parametrize("after", [1, 7, 12, 19])
def test_stopped_and_resumed_it_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(training, "CHECKS", 4)
    told: list[int] = []

    def stop(percent: int) -> None:
        told.append(percent)
        if len(told) == after:
            raise KeyboardInterrupt

    whole, uninterrupted = learned()
    with pytest.raises(KeyboardInterrupt):
        Training(student(0.05), lesson(tmp_path), HOW).run(stop)
    kept = State.load(tmp_path)
    assert kept is not None
    assert kept.step == max(0, after - 2) // 5 * 5
    resumed, state = learned(given=lesson(tmp_path))
    assert same(resumed, whole)
    assert (state.history, state.best_step) == (uninterrupted.history, uninterrupted.best_step)


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    first, _ = learned()
    assert same(first, learned()[0])
    assert not same(first, learned(given=lesson(seed=1))[0])


def test_what_has_nothing_to_learn_ends_early_and_stays_as_it_was() -> None:
    found, state = learned(0.0, given=lesson(duration=parse("100steps")))
    assert same(found, student().learned())
    assert (state.best_step, state.falls) == (0, FALLS + 1)
    assert state.step == state.falls * PATIENCE * 5


def test_the_best_is_kept_whatever_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKS", 10)
    wild = How(batch=8, rate=0.5, views=2)
    found, state = learned(0.02, wild)
    assert state.best_step < state.step
    assert same(found, state.best)
    pupil = student()
    pupil.learn(found)
    apart, _ = Training(pupil, lesson(), wild).exam.apart(pupil)
    assert apart == pytest.approx(min(state.history), rel=1e-5)


def test_where_nothing_becomes_better_it_goes_back_to_the_best_and_learns_on_at_lower_rates() -> None:
    wild = How(batch=8, rate=0.5, views=2)
    found, state = learned(0.02, wild, lesson(duration=parse("200steps")))
    assert state.falls > 0
    assert state.best_step > PATIENCE * 10, "after rates fell first"
    assert min(state.history) < state.history[0] < max(state.history)
    assert same(found, state.best)


def test_of_images_that_show_few_classes_features_alone_are_learned() -> None:
    found = Training(student(), lesson(), HOW)
    assert found.told([LAST]).all()
    found = Training(student(), replace(lesson(), teacher=sure()), HOW)
    assert not found.told([LAST]).any()
    assert found.told([]).all(), "else nothing would be learned"


def test_the_teacher_is_asked_about_no_more_images_than_are_learned_from(tmp_path: Path) -> None:
    def stop(percent: int) -> None:
        if percent:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(student(0.05), lesson(tmp_path, parse("3steps")), HOW).run(stop)
    assert len(Answers.load(tmp_path / "answers-0.safetensors").shares) == 3 * HOW.batch
    resumed, _ = learned(given=lesson(tmp_path, parse("3steps")))
    assert same(resumed, learned(given=lesson(duration=parse("3steps")))[0])


def test_of_calibration_images_answers_are_always_learned() -> None:
    given = replace(lesson(), teacher=sure())
    found = Training(student(), replace(given, calibrated=20), HOW)
    calibrated = torch.tensor(found.places) % 60 >= 40
    assert 0 < calibrated.sum() < len(calibrated)
    assert torch.equal(found.told([LAST]), calibrated)
    assert Training(student(), replace(given, calibrated=60), HOW).told([LAST]).all()


def sure() -> Student:
    """A teacher that says the same of all images."""
    made = student()
    made.learn({name: 20 * torch.eye(6)[2] for name, value in made.learned().items() if value.shape == (6,)})
    return made


def test_labels_are_learned_where_they_are_known() -> None:
    labels, how, time = torch.full((60,), 3), replace(HOW, weights=Weights(labels=5.0)), parse("40steps")
    pupil, without = Training(student(), lesson(None, time, labels), how), Training(student(), lesson(None, time), how)
    for one in (pupil, without):
        state = one._begun()
        model, optimizer = one.student, torch.optim.AdamW(one.student.groups(how.rate, {}))
        for step in range(state.steps):
            state.step = step
            one._step(state, model, optimizer)
    views = lesson().views.plain(range(60))
    shares = [one.student(views)[0].softmax(1)[:, 3].mean() for one in (pupil, without)]
    assert shares[0] > shares[1] + 0.05


def test_features_that_mean_something_else_are_not_compared() -> None:
    pupil = student()
    first = next(name for name, value in pupil.learned().items() if value.shape == (16, 192))
    pupil.learn({first: -3 * pupil.learned()[first].flip(0)})
    assert Training(pupil, lesson(), HOW).run(lambda _: None).compared == {}


@pytest.mark.parametrize(("bits", "compares"), [(1, True), (3, False)])
def test_beside_signs_what_is_far_off_is_compared_too_and_counts_no_more(
    small_vit: Callable[..., Backbone], *, bits: int, compares: bool
) -> None:
    teacher = small_vit()
    images = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    rounded = Quantize(bits, 8, rounding="nearest", ranges="minmax").apply(teacher, [images])
    given = Lesson(Student(teacher), Views(Held(images), teacher.preprocessing, 0), parse("1steps"))
    training = Training(Student(rounded), given, How(batch=6))
    known = {  # as if the first token hardly differed from image to image
        name: Feature(one.wanted, one.variance * 1e-3) for name, one in training.exam.known.items()
    }
    training.exam.known = known
    _, compared = training.exam.apart(training.student)
    stages = {name for name in known if name != LAST}
    assert stages
    assert (compared.keys() >= stages) == compares
    assert all(apart > 1 for name, apart in compared.items())
    if compares:
        answers = training.teaching.of(0).at([0], 5)
        wanted = training._wanted(answers, [0], compared)
        for name in stages:
            torch.testing.assert_close(wanted.features[name].variance, known[name].variance * compared[name])


def test_minutes_become_steps_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "precisions", lambda _: ("fp32", "bf16"))
    costs = iter([0.5, 0.25, 0.1])
    monkeypatch.setattr(devices, "seconds", lambda works, *_: {name: (works[name](), next(costs))[1] for name in works})
    pupil = Training(student(0.05), lesson(tmp_path, Duration(0.2, None, None)), HOW)
    state = pupil._begun()
    assert state.precision == "bf16", "the faster one"
    assert 20 < state.steps < 12 / 0.25
    assert same(pupil.student.learned(), student(0.05).learned()), "measuring teaches nothing"
    resumed, again = learned(given=lesson(tmp_path, Duration(0.2, None, None)))
    assert again.steps == state.steps
    repeated, _ = learned(given=lesson(duration=parse(f"{state.steps}steps:bf16")))
    assert same(resumed, repeated)


class Slow:
    """A machine whose steps take twice what they took when they were timed."""

    def __init__(self, patch: pytest.MonkeyPatch, step: float) -> None:
        self.now, self.step, self.really = 0.0, step, Training._step
        patch.setattr(devices, "precisions", lambda _: ("fp32",))
        patch.setattr(devices, "seconds", lambda works, *_: dict.fromkeys(works, step / 2))
        patch.setattr(time, "monotonic", lambda: self.now)
        patch.setattr(Training, "_step", lambda training, *rest: self.take(training, *rest))  # noqa: PLW0108  (a function becomes a method)

    def take(self, training: Training, *rest: Any) -> None:
        self.now += self.step
        self.really(training, *rest)


def test_on_a_machine_that_becomes_slower_the_time_is_kept_and_the_word_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch, 0.25)
    found, state = learned(given=lesson(tmp_path, Duration(0.2, None, None)))
    assert state.step == state.last < state.steps
    assert 10 < slow.now <= 12, "of the twelve seconds"
    repeated, again = learned(given=lesson(duration=parse(f"{state.last}of{state.steps}steps")))
    assert (again.step, again.steps) == (state.step, state.steps)
    assert same(found, repeated)


def test_time_before_a_stop_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 0.25)
    whole, state = learned(given=lesson(tmp_path / "whole", Duration(0.2, None, None)))
    slow.now = 0.0

    def stopping(percent: int) -> None:
        if slow.now > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(student(0.05), lesson(tmp_path / "cut", Duration(0.2, None, None)), HOW).run(stopping)
    slow.now = 1000.0
    resumed, again = learned(given=lesson(tmp_path / "cut", Duration(0.2, None, None)))
    assert again.last == state.last
    assert same(whole, resumed)


def test_percents_add_up_to_a_hundred() -> None:
    told: list[int] = []
    Training(student(0.05), lesson(duration=parse("7steps")), HOW).run(told.append)
    assert sum(told) == 100


def test_what_is_looked_at_is_the_mean_of_the_last_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKS", 1)
    pupil = student(0.05)
    start = {name: value.clone() for name, value in pupil.learned().items()}

    def step(_: Training, state: State, *__: object) -> None:
        pupil.learn({name: torch.full_like(value, state.step + 1.0) for name, value in start.items()})

    monkeypatch.setattr(Training, "_step", step)
    state = Training(pupil, lesson(duration=parse("3of6steps")), HOW).run(lambda _: None)
    for name, value in start.items():
        torch.testing.assert_close(state.average[name], (value + 1 + 2 + 3) / 4)
        torch.testing.assert_close(state.learned[name], torch.full_like(value, 3.0))
