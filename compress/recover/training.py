"""Self-distillation: a student learns to answer as its teacher does, and the best there was on held-out images is kept.

Each step is a function of its number, the seed and the images, so a run that was stopped goes on as if it had not been.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from . import devices
from .checkpoint import State
from .duration import FP32, Duration
from .exam import Exam
from .in_turn import waits
from .loss import Feature, Wanted, Weights, loss
from .places import apportioned, reached, shuffled
from .plan import FALL, FALLS, TIMED, Costs, Course, rate_at, stalled, steps_in
from .rounded import STEPS, WEIGHT
from .student import Student
from .teaching import Teaching
from .views import Views

CHECKS = 20
"""How often the held-out images are looked at; each time the state is saved."""
Agreed = TypeVar("Agreed", str, int)


@dataclass(frozen=True)
class How:
    """The knobs of the training."""

    batch: int = 32
    rate: float = 1e-4
    """At its highest."""
    of_codes: float = 2e-4
    """Rate of the float weights behind codes, which must go some way before anything changes."""
    of_signs: float = 1e-3
    """Rate of what codes of two bits and fewer are rounded from, in steps: 0.003 left the demo 1.7 times as far off."""
    beside_signs: float = 3e-4
    """Rate of all else in a program that has such codes: it has farther to go."""
    of_ranges: float = 2e-3
    """Rate of the logarithms of scales."""
    attention_first: float = 0.0
    """Share of the steps in which attention of one bit learns alone."""
    warmup: float = 0.05
    """Share of the steps in which rates rise."""
    views: int = 10
    """Random crops of an image; after so many the first come again."""
    weights: Weights = field(default_factory=Weights)

    @property
    def of_rounding(self) -> dict[str, float]:
        """The rates of what rounding operators learn by."""
        return {WEIGHT: self.of_codes, STEPS: self.of_signs, "log_scale": self.of_ranges}


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from, and for how long."""

    teacher: Student
    views: Views
    duration: Duration
    labels: Tensor | None = None
    """Classes of the images, in their order, where they are known."""
    folder: Path | None = None
    """Where a run that is stopped leaves what it had."""
    calibrated: int = 0
    """How many images, the last, are of those that the backbone was calibrated with."""


class Training:
    """A student on its way."""

    def __init__(self, student: Student, lesson: Lesson, how: How) -> None:
        self.started = time.monotonic()
        self.how, self.lesson, self.accelerator = how, lesson, devices.accelerator()
        self.device = self.accelerator.device
        held, self.places = apportioned(lesson.views.images.count, lesson.calibrated, lesson.views.seed)
        self.there = self.looked
        """How many images could be learned from."""
        self.batch = min(how.batch, len(self.places))
        self.student = student.to(self.device)
        teacher = lesson.teacher.to(self.device)
        self.teaching = Teaching(teacher, lesson.views, self.places, self.batch, self.accelerator, lesson.folder)
        self.teaching.precision = lesson.duration.precision or FP32
        self.exam = Exam(teacher, lesson.views, held, lesson.calibrated, self.batch)

    def run(self, advance: Callable[[int], None]) -> State:
        """Learn, or go on learning; the student is left as the best there was. `advance` is told of percents."""
        found = State.load(self.lesson.folder)
        self.accelerator.wait_for_everyone()  # before any of them saves
        if found:
            self.teaching.precision = found.precision
            self.started -= found.seconds
        state = found or self._begun()
        self.places = self.teaching.places = reached(self.places, state.steps * self.batch, self.lesson.views.seed)
        self.student.learn(state.learned)
        state.average = {name: value.to(self.device) for name, value in state.average.items()}
        model = self.accelerator.prepare(self.student)
        rate = self.how.beside_signs if self.student.in_signs else self.how.rate
        groups = self.student.groups(rate, self.how.of_rounding)
        optimizer = self.accelerator.prepare(torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0))
        if state.optimizer:
            optimizer.load_state_dict(state.optimizer)
        advance(100 * state.step // state.steps)
        interval = -(-state.steps // CHECKS)
        while state.step < state.last and state.falls <= FALLS:
            self._step(state, model, optimizer)
            state.step += 1
            self._average(state)
            advance(100 * state.step // state.steps - 100 * (state.step - 1) // state.steps)
            if state.step % interval == 0 or state.step == state.last:
                self._check(state, optimizer, interval)
        self.student.learn(state.best)
        return state

    @property
    def looked(self) -> int:
        """How many images are learned from; some have several places."""
        return len({place % self.lesson.views.images.count for place in self.places})

    @cached_property
    def named(self) -> Tensor:
        """Which of the images that are learned from are no calibration images, in the order of their places."""
        count = self.lesson.views.images.count
        return torch.tensor(self.places) % count < count - self.lesson.calibrated

    def told(self, compared: Collection[str]) -> Tensor:
        """Of which images answers are learned, in the same order; without features of all.

        What is learned from answers on images of few classes does not carry over to others.
        """
        return ~self.named if compared and self.exam.narrow else torch.ones_like(self.named)

    def _begun(self) -> State:
        """The state before the first step: what is measured is measured now, and then fixed."""
        apart, compared = self.exam.apart(self.student)
        duration = self.lesson.duration
        state = State(duration.steps or 0, duration.precision or FP32, history=[apart], compared=compared)
        state.last = duration.last or state.steps
        if duration.minutes is not None:
            names = (duration.precision,) if duration.precision else devices.precisions(self.device)
            tries = {name: partial(self._try, name) for name in names}
            took = devices.seconds(tries, self.device, TIMED * duration.minutes * 60)
            state.precision = self._agreed(min(took, key=lambda name: took[name]))
            self.teaching.precision = state.precision
            state.steps = state.last = self._agreed(self._steps(duration.minutes * 60, took[state.precision]))
        state.learned = state.best = copied(self.student.learned())
        state.average = copied(state.learned)
        state.seconds = time.monotonic() - self.started
        self._save(state)
        return state

    def _try(self, precision: str) -> None:
        """About what a step does, but for learning."""
        mine = self.places[: self.batch][self.accelerator.process_index :: self.accelerator.num_processes]
        with devices.arithmetic(precision, self.device):
            logits, _ = self.student(self.lesson.views.drawn(mine or self.places[:1], 0).to(self.device))
        logits.float().square().mean().backward()
        self.student.zero_grad()

    def _steps(self, budget: float, step: float) -> int:
        """How many steps there is time for."""
        images = self.lesson.views.drawn(self.places[: self.batch], 0)
        answers = devices.seconds({"": lambda: self.teaching.answer(images)}, self.device)[""]
        costs = Costs(step, answers, answers * len(self.exam.places) / self.batch)
        course = Course(self._per_pass(), self.how.views, CHECKS)
        return steps_in(budget - (time.monotonic() - self.started), costs, course)

    def _agreed(self, found: Agreed) -> Agreed:
        """What the first process found, for all of them."""
        from accelerate.utils import broadcast_object_list

        (agreed,) = broadcast_object_list([found])
        return cast("Agreed", agreed)

    def _step(self, state: State, model: Any, optimizer: Any) -> None:
        """One step, on this process's part of the batch."""
        number, at = divmod(state.step, self._per_pass())
        view = number % self.how.views
        order = shuffled(len(self.places), self.lesson.views.seed, number + 1)
        rows = order[at * self.batch : (at + 1) * self.batch]
        rows = rows[self.accelerator.process_index :: self.accelerator.num_processes] or rows[:1]
        wanted = self._wanted(self.teaching.of(view).at(rows, self._outputs()), rows, state.compared)
        images = self.lesson.views.drawn([self.places[row] for row in rows], view).to(self.device)
        share = FALL**state.falls * rate_at(state.step, state.steps, self.how.warmup)
        for group in optimizer.param_groups:
            group["lr"] = share * group["initial"]
        turn = self.student.turn(of_attention=waits(state.step, state.steps, self.how.attention_first))
        with torch.enable_grad(), turn:
            with devices.arithmetic(state.precision, self.device):
                logits, features = model(images)
            self.accelerator.backward(loss(logits, features, wanted, self.how.weights))
        self.accelerator.clip_grad_norm_(self.student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def _average(self, state: State) -> None:
        """Take what is known now into the mean of the last pass: it answers better than wherever a step has led to."""
        share = 1 / min(state.step + 1, max(1, self._per_pass()))
        for name, value in self.student.learned().items():
            state.average[name].lerp_(value, share)

    def _wanted(
        self, answers: tuple[Tensor, dict[str, Tensor]], rows: Sequence[int], compared: Mapping[str, float]
    ) -> Wanted:
        shares, features = answers
        labels = self.lesson.labels
        known = None if labels is None else labels[[self.places[row] % len(labels) for row in rows]].to(self.device)
        of = {
            name: Feature(features[name].to(self.device), self.exam.known[name].variance * apart)
            for name, apart in compared.items()
        }
        return Wanted(shares.to(self.device), of, known, self.told(compared)[list(rows)].to(self.device))

    def _check(self, state: State, optimizer: Any, interval: int) -> None:
        """Look at the held-out images by the average of what was learned, remember the best, save.

        Where that has long been best, go on from there at lower rates. Where the time would be up before the next look,
        this one is the last.
        """
        state.learned, state.optimizer = copied(self.student.learned()), optimizer.state_dict()
        self.student.learn(state.average)
        apart, _ = self.exam.apart(self.student)
        self.student.learn(state.learned)
        if apart < min(state.history):
            state.best_step, state.best = state.step, copied(state.average)
        state.history.append(apart)
        if stalled(state, interval, self.how.attention_first):
            state.falls, state.fell = state.falls + 1, state.step
            state.learned = copied(state.best)
            state.average = {name: value.to(self.device, copy=True) for name, value in state.best.items()}
            self.student.learn(state.best)
        before, state.seconds = state.seconds, time.monotonic() - self.started
        minutes = self.lesson.duration.minutes
        if minutes is not None and state.seconds + (state.seconds - before) > minutes * 60:
            state.last = state.step
        state.last = self._agreed(state.last)
        self._save(state)

    def _save(self, state: State) -> None:
        if self.accelerator.is_main_process:
            state.save(self.lesson.folder)
        self.accelerator.wait_for_everyone()

    def _per_pass(self) -> int:
        return len(self.places) // self.batch

    def _outputs(self) -> int:
        return self.exam.wanted.shape[1]


def copied(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Values as they are now, in ordinary memory."""
    return {name: value.cpu().clone() for name, value in values.items()}
