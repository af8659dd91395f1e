"""The energy of an inference, measured by what this machine has: one row a sensor, one file each."""

from collections.abc import Callable
from dataclasses import dataclass

from . import command
from .meter import Meter, NoReading
from .nvml import Nvml
from .powermetrics import Powermetrics
from .rails import Rails
from .rapl import Rapl
from .tegrastats import Tegrastats

NONE = "none"
CPU, GPU, SOC = "cpu", "gpu", "soc"
"""What an engine runs on; soc: on whatever part of the chip it likes."""


@dataclass(frozen=True)
class Source:
    """A sensor: how it is made, and of which devices it counts the energy."""

    name: str
    open: Callable[[], Meter]
    covers: frozenset[str]

    def missing(self) -> NoReading | None:
        """Why it cannot be read here; None where it can."""
        meter = self.open()
        try:
            meter.start()
            meter.read()
        except NoReading as why:
            return why
        finally:
            meter.stop()
        return None


SOURCES = {
    source.name: source
    for source in (
        Source("rapl", Rapl, frozenset({CPU})),
        Source("nvml", Nvml, frozenset({GPU})),
        Source("jetson", Rails, frozenset({CPU, GPU})),
        Source("tegrastats", Tegrastats, frozenset({CPU, GPU})),
        Source("powermetrics", Powermetrics, frozenset({CPU, GPU, SOC})),
    )
}
"""In the order in which they are tried."""


def check(word: str | None) -> None:
    """Refuse a word of --meter that is neither a sensor nor a command."""
    if word is not None and word != NONE and word not in SOURCES:
        command.meter(word)


def choose(word: str | None, device: str) -> Meter:
    """The meter that `word` names, or a command; where nobody says, the first sensor of the device that works."""
    if word == NONE:
        raise NoReading("not asked for")
    if word in SOURCES:
        if device not in SOURCES[word].covers:
            raise NoReading(f"{word} does not count what the {device} takes", there=True)
        return SOURCES[word].open()
    if word is not None:
        return command.meter(word)
    broken = []
    for source in SOURCES.values():
        if device in source.covers:
            why = source.missing()
            if why is None:
                return source.open()
            broken += [why] if why.there else []
    if broken:
        raise broken[0]
    raise NoReading(f"this machine has no sensor for its {device}; name a meter with --meter, see vitc doctor")
