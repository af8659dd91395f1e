"""The gate's facts: two runs read back from their folders, paired, and measured again where that is asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import profiling
from .bench import Bench
from .errors import UserError
from .progress import Progress
from .reports import record as records
from .reports.gate import Finding, Limits, Pair, Ratio, judge
from .reports.paired import Flips
from .reports.plausible import Answers, Setting, implausible, too_fast, unlike
from .reports.related import float_of
from .runs import LABELS, Run

NO_MORE = Limits()
"""What `vitc compare` allows when nothing is said."""


@dataclass(frozen=True)
class Side(Run):
    """A run folder, and the artifact in it that is meant; None: all that both sides have."""

    artifact: str | None = None

    @classmethod
    def read(cls, text: str) -> "Side":
        """From FOLDER or FOLDER:ARTIFACT."""
        folder, colon, artifact = text.rpartition(":")
        if not colon or Path(text).is_dir():
            folder, artifact = text, ""
        side = cls(Path(folder), artifact or None)
        if artifact and artifact not in side.names:
            raise UserError(f"{folder} has no measured artifact {artifact!r}; allowed: {', '.join(side.names)}")
        return side

    def answered(self, one: records.Measurement) -> Answers | None:
        """What it answered to each image, where that was kept."""
        top = self.answers_of(one)
        return None if top is None else Answers(top, self.answers[LABELS])

    @property
    def setting(self) -> Setting:
        """Under what it was scored."""
        record = self.record
        changed = json.dumps(record.recipe.get("preprocessing", {}), sort_keys=True)
        scored = record.data.sha256 if record.data else None
        return Setting(scored, record.model.preprocessing_sha256, changed, record.model.input)

    def file(self, artifact: str) -> Path:
        """Where an artifact's file is."""
        return self.folder / self.row(artifact).path


Couple = tuple[records.Measurement, records.Measurement]


def compare(
    baseline: str,
    candidate: str,
    limits: Limits = NO_MORE,
    remeasure: Bench | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Hold a candidate's artifacts against the baseline's; with a bench, both are timed again in one run."""
    before, after = Side.read(baseline), Side.read(candidate)
    return [
        finding
        for couple in _couples(before, after)
        for finding in _held(before, after, couple, limits, _Clock(remeasure, progress or Progress()))
    ]


def _couples(before: Side, after: Side) -> list[Couple]:
    """What is held against what: the artifacts that were named, else what both runs made for a target."""
    if before.artifact or after.artifact:
        first, second = before.artifact or after.artifact, after.artifact or before.artifact
        found = [
            (a, b)
            for a in before.record.measurements
            for b in after.record.measurements
            if (a.artifact, b.artifact) == (first, second) and (a.runtime == b.runtime or first != second)
        ]
    else:
        theirs, ours = before.asked(), after.asked()
        found = [(theirs[where], ours[where]) for where in theirs if where in ours]
    if not found:
        raise UserError(
            f"nothing to compare: {before.folder} has {', '.join(before.names) or 'nothing measured'}, {after.folder} "
            f"has {', '.join(after.names) or 'nothing measured'}; name one of each, as {before.folder}:int8/onnx"
        )
    return found


def _held(before: Side, after: Side, couple: Couple, limits: Limits, clock: "_Clock") -> Sequence[Finding]:
    first, second = couple
    same = (first.artifact, first.runtime) == (second.artifact, second.runtime)
    name = f"{second.artifact} {second.runtime}" + ("" if same else f" against {first.artifact} {first.runtime}")
    theirs, ours = before.answered(first), after.answered(second)
    found = list(unlike(name, before.setting, after.setting))
    own_float = float_of(after.record, second)
    if ours:
        found += implausible(name, ours, after.answered(own_float) if own_float else None)
    found += too_fast(name, after.record, second)
    alike = before.setting.images == after.setting.images
    time, why = clock.ratio(before, after, couple)
    pair = Pair(
        name,
        Flips.of(theirs.right, ours.right) if theirs and ours and alike else None,
        time,
        why,
        (before.row(first.artifact).bytes, after.row(second.artifact).bytes),
        (first.peak_rss_mb, second.peak_rss_mb),
        (first.energy_mj.value, second.energy_mj.value),
    )
    return [*found, *judge(pair, limits)]


@dataclass(frozen=True)
class _Clock:
    """Where the ratio of times comes from: the one run that measured both, or a new one."""

    bench: Bench | None
    progress: Progress

    def ratio(self, before: Side, after: Side, couple: Couple) -> tuple[Ratio | None, str]:
        """How many times as long the candidate takes; or None, and why that is not known."""
        first, second = couple
        if self.bench:
            return self._measured(before.file(first.artifact), after.file(second.artifact))
        if before.folder.resolve() == after.folder.resolve():
            if first.artifact == second.artifact:
                return Ratio(1.0, 1.0, 1.0), ""
            if second.speedup and second.speedup.vs == first.artifact:
                return _inverse(second.speedup, second)
            return None, "measured in one run, which kept no ratio of these two; add --remeasure to time both now"
        return None, "not measured in one run, so the machine's moods would count; add --remeasure to time both now"

    def _measured(self, before: Path, after: Path) -> tuple[Ratio | None, str]:
        if before.suffix not in profiling.ENGINES or after.suffix not in profiling.ENGINES:
            return None, f"no engine here times {after.name}; allowed: {', '.join(profiling.ENGINES)}"
        if before.suffix != after.suffix:
            return None, "the two run on different engines; compare what one engine serves"
        if before.resolve() == after.resolve():
            return Ratio(1.0, 1.0, 1.0), ""
        first, found = profiling.profile([before, after], self.bench, progress=self.progress).measurements
        if found.speedup is None:
            return None, f"not measured: {found.note or first.note or 'their batches differ'}"
        return _inverse(found.speedup, found)


def _inverse(speedup: records.Speedup, one: records.Measurement) -> tuple[Ratio | None, str]:
    """How many times as long it takes; not known where its cores did not work side by side."""
    if one.crowded_lives:
        return None, speedup.inconclusive
    low, high = speedup.ci95
    return Ratio(1 / speedup.ratio, 1 / high, 1 / low), ""
