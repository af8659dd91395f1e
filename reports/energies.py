"""Energy as the reports show it: what was measured, with its source, and beside it what is only modelled."""

from collections.abc import Iterator

from .record import Artifact, Energy, Record


def measured(energy: Energy) -> str:
    """Net millijoules with their uncertainty; what stands for the source where nothing was measured."""
    if energy.value is None:
        return energy.source
    return f"{energy.value:.3g}" + (f" ± {energy.uncertainty:.2g}" if energy.uncertainty is not None else "")


def modelled(artifact: Artifact) -> str:
    """Millijoules of arithmetic + of memory."""
    found = artifact.modelled
    return f"{found.arithmetic_mj:.2f} + {found.memory_mj:.2f}" if found else "not modelled"


def lines(record: Record) -> list[str]:
    """What counted the energy, and what else is known of it, or why nothing did; then the models."""
    return [*_counted(record), *_reasons(record), *_models(record)]


def _counted(record: Record) -> list[str]:
    return [
        f"{one.artifact} on {one.runtime}: {measured(energy)} mJ net, {energy.gross:.3g} mJ gross, "
        f"{energy.idle_w:.3g} W at rest; counted by {energy.source} over {energy.inferences} calls"
        for one in record.measurements
        if (energy := one.energy_mj).value is not None and energy.gross is not None
    ]


def _reasons(record: Record) -> Iterator[str]:
    """Each once, with those that have it, unless all have it."""
    found: dict[str, list[str]] = {}
    for one in record.measurements:
        if one.energy_mj.reason:
            found.setdefault(one.energy_mj.reason, []).append(f"{one.artifact} on {one.runtime}")
    for reason, names in found.items():
        everywhere = len(names) == len(record.measurements)
        yield f"not measured, {reason}" + ("" if everywhere else f": {', '.join(names)}")


def _models(record: Record) -> list[str]:
    return [
        f"{artifact.name}, a model: {found.ops / 1e9:.3f} G operations (BOPs / 64 + FLOPs), "
        f"{found.arithmetic_mj:.2f} mJ of arithmetic and {found.memory_mj:.2f} mJ of memory"
        for artifact in record.artifacts
        if (found := artifact.modelled)
    ]
