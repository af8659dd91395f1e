"""What an energy meter is: something with a name that counts joules, or tells watts."""

from dataclasses import dataclass
from typing import Protocol


class NoReading(Exception):
    """Why a meter has nothing to say, as `reason` or `reason: mend`; `there` is whether this machine has the sensor."""

    def __init__(self, why: str, *, there: bool = False) -> None:
        super().__init__(why)
        self.there = there


@dataclass(frozen=True)
class Reading:
    """What a meter tells: joules since some moment, or watts since it spoke last.

    `at` is the second of the monotonic clock at which it spoke; None: it can be asked at any time, and was asked now.
    """

    value: float
    at: float | None = None
    step: float = 0.0
    """The finest watts that a meter can tell apart, or the seconds by which a count may be late; 0: not known."""


class Meter(Protocol):
    """A sensor. It raises `NoReading` wherever it cannot go on; `stop` is called whatever happened."""

    @property
    def name(self) -> str:
        """Its source as records name it; whole once it is started."""

    @property
    def counts(self) -> bool:
        """Whether its readings are joules; otherwise they are watts."""

    def start(self) -> None:
        """Make sure that it can be read."""

    def read(self) -> Reading | None:
        """The latest that it told; None where it has told nothing yet."""

    def stop(self) -> None:
        """Give back what it holds."""
