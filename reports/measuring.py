"""What a record says of how it was measured: loading, memory, steadiness, and what could not be told."""

from .record import Measurement, Record

COLUMNS = (
    "artifact",
    "runtime",
    "batch",
    "load ms",
    "first ms",
    "MB over idle",
    "p50 ms, 95 %",
    "steady %",
    "cut off %",
    "lives",
)
NOTE = (
    "Loading is from file to session; the first inference is by itself, as engines compile in it. Memory is the peak "
    "over what the engine's library holds idle. Steady are rounds whose median lies within 5 % of the median of all; "
    "cut off are runs that other processes interrupted: they are left out of times and ratios. Every life is a new "
    "process; left out are those in which the cores did not work side by side."
)
NOTHING = "-"


def rows(record: Record) -> list[tuple[str, ...]]:
    """The cells under COLUMNS, of everything that was measured."""
    return [_row(one) for one in record.measurements if one.load_ms is not None]


def doubts(record: Record) -> list[str]:
    """What could not be measured, and differences that could not be told, with the reason; a line each."""
    found = []
    for one in record.measurements:
        name = f"{one.artifact} on {one.runtime} ({setting(one)})"
        if one.note:
            found.append(f"{name}: not measured: {one.note}")
        if one.speedup and one.speedup.inconclusive:
            found.append(f"{name}: inconclusive against {one.speedup.vs}: {one.speedup.inconclusive}")
        elif one.crowded_lives:
            found.append(f"{name}: its cores did not work side by side in {one.crowded_lives} of the lives")
    return found


def setting(one: Measurement) -> str:
    """Under what it was measured."""
    streams = f"{one.throughput.streams} streams, " if one.throughput else ""
    return f"{streams}{one.threads} thread{'s' if one.threads != 1 else ''}, batch {one.batch}"


def _row(one: Measurement) -> tuple[str, ...]:
    times = one.latency_ms
    spread = f"{times.p50_ci95[0]:.2f} to {times.p50_ci95[1]:.2f}" if times and times.p50_ci95 else NOTHING
    numbers = (one.load_ms, one.first_ms, one.over_idle_mb)
    steadiness = (times.stability_pct, times.interrupted_pct) if times else (None,) * 2
    lives = _number(times.lives if times else None) + (f" ({one.left_out_lives} left out)" * (one.left_out_lives > 0))
    cells = (*map(_number, numbers), spread, *map(_number, steadiness), lives)
    return (one.artifact, one.runtime, str(one.batch), *cells)


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"
