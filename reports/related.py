"""What belongs together in a record: measurements and their float model, artifacts and the stages that made them."""

from .record import FLOAT, Artifact, Measurement, Record, Stage


def alike(one: Measurement, other: Measurement) -> bool:
    """Whether two were measured the same way."""
    return (one.runtime, one.threads, one.batch) == (other.runtime, other.threads, other.batch)


def float_of(record: Record, one: Measurement) -> Measurement | None:
    """The untouched model on the same target, measured the same way."""
    name = f"{FLOAT}/{one.artifact.rpartition('/')[2]}"
    return next((other for other in record.measurements if other.artifact == name and alike(one, other)), None)


def simulations(record: Record, artifact: Artifact) -> list[Stage]:
    """The stage that scored an artifact's torch program; of records that do not name it, all that it can be."""
    if artifact.simulation:
        return [stage for stage in record.stages if stage.name == f"score {artifact.simulation}"]
    begins = f"score {artifact.name.rpartition('/')[0]} "
    return [stage for stage in record.stages if stage.name.startswith(begins) and stage.name.endswith(" torch")]


def macs(record: Record, artifact: Artifact) -> int | None:
    """Multiply-adds of one image, as counted in torch; None where nobody counted."""
    return min((stage.macs for stage in simulations(record, artifact) if stage.macs), default=None)


def kind(artifact: Artifact) -> str:
    """By where the file lies: `float`, `step`, `final` in the target's own folder, or another tool's `rival`."""
    kinds = {FLOAT: "float", "rivals": "rival", artifact.format: "final"}
    return kinds.get(artifact.path.partition("/")[0], "step")
