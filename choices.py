"""Which artifact is best for a target: the fastest of those measured there that are as right as the one asked for."""

from collections.abc import Container, Iterable, Mapping, Sequence

from .reports.record import Choice, Measurement

AS_RIGHT = 0.3
"""Points of top-1 that another artifact may lie below the one asked for."""
FASTER = 1.03
"""What is not this many times faster is not preferred: it may be noise."""


def choose(measurements: Sequence[Measurement], asked: Container[str]) -> tuple[Choice, ...]:
    """The best artifact for the target of each artifact in `asked`, where its time was measured."""
    p50 = {one.artifact: one.latency_ms.p50 for one in measurements if one.latency_ms}
    return tuple(_best(one, measurements, p50) for one in measurements if one.artifact in asked and one.artifact in p50)


def _best(asked: Measurement, measurements: Iterable[Measurement], p50: Mapping[str, float]) -> Choice:
    target = _target(asked)
    fastest = min(
        (one for one in measurements if one.artifact in p50 and _target(one) == target and _can_replace(one, asked)),
        key=lambda one: p50[one.artifact],
    )
    gain = p50[asked.artifact] / p50[fastest.artifact]
    scored = asked.top1 is not None and fastest.top1 is not None
    if gain < FASTER:
        as_right = " that is as right" if scored else ""
        return Choice(target, asked.artifact, f"no other{as_right} is {FASTER} times as fast")
    as_right = ", and as right" if scored else "; accuracy was not measured"
    return Choice(target, fastest.artifact, f"{gain:.2f} times as fast as {asked.artifact}{as_right}")


def _can_replace(one: Measurement, asked: Measurement) -> bool:
    """Whether it ran on the same engine, and is as right."""
    as_right = one.top1 is None or asked.top1 is None or one.top1 >= asked.top1 - AS_RIGHT
    return one.runtime == asked.runtime and as_right


def _target(one: Measurement) -> str:
    return one.artifact.partition("/")[2]
