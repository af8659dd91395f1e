"""What a flag may say, and one line for what it may not."""

import pytest

from vitc.compress.slim import Slim
from vitc.compress.structure import Prune, parse
from vitc.errors import UserError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("neurons=0.2", Prune(neurons=0.2)),
        (" neurons = .25 , multiple = 16 ", Prune(neurons=0.25, multiple=16)),
        ("multiple=1", Prune(multiple=1)),
        ("macs=0.5", Slim(macs=0.5)),
        ("latency=0.6, multiple=16", Slim(latency=0.6, multiple=16)),
        ("values=0.2", Prune(neurons=0, values=0.2)),
        ("queries=0.25,multiple=4", Prune(neurons=0, queries=0.25, multiple=4)),
        ("sublayers=1", Prune(neurons=0, sublayers=1)),
        ("neurons=0.1,values=0.2,blocks=2", Prune(neurons=0.1, values=0.2, blocks=2)),
    ],
)
def test_words_become_knobs(text: str, wanted: Prune | Slim) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not know ''; allowed: neurons, "),
        ("0.2", "does not know '0.2'"),
        ("heads=2", "does not know 'heads'"),
        ("neurons", "neurons takes one value"),
        ("neurons=", "neurons is ''; it must be a number"),
        ("neurons=many", "neurons is 'many'; it must be a number"),
        ("multiple=1.5", "multiple is '1.5'; it must be a whole number"),
        ("neurons=0.1,neurons=0.2", "neurons takes one value"),
        ("neurons=0.1,", "does not know ''"),
        ("neurons=0.1,macs=0.5", "macs and latency go with multiple alone, not with neurons and macs"),
        ("macs=0.5,latency=0.5", "one of macs and latency"),
        ("macs=1", "macs is 1.0; it must be a share between 0 and 1"),
        ("latency=-1", "latency is -1.0; it must be a share between 0 and 1"),
        ("latency=0", "latency is 0.0; it must be a share"),
        ("macs=half", "macs is 'half'; it must be a number"),
        ("macs=0.5,multiple=0", "at least 1"),
        ("neurons=20", "a share between 0 and 1"),
        ("neurons=0", "a share between 0 and 1"),
        ("values=0", "a share between 0 and 1"),
        ("blocks=0", "a share between 0 and 1"),
        ("values=1", "values is 1.0; it must be a share between 0 and 1"),
        ("queries=-0.1", "queries is -0.1; it must be a share"),
        ("blocks=-1", "blocks is -1; it must be how many go"),
        ("sublayers=0.5", "sublayers is '0.5'; it must be a whole number"),
        ("neurons=nan", "a share between 0 and 1"),
        ("multiple=0", "at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(UserError) as failure:
        parse(text)
    assert reason in str(failure.value)
    assert "\n" not in str(failure.value)
