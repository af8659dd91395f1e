import pytest

from vitc.compress.recover.duration import Duration, parse
from vitc.errors import UserError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30", Duration(30.0, None, None)),
        ("0.5", Duration(0.5, None, None)),
        ("45:bf16", Duration(45.0, None, "bf16")),
        ("800steps", Duration(None, 800, "fp32")),
        (" 12steps:bf16 ", Duration(None, 12, "bf16")),
        ("700of800steps", Duration(None, 800, "fp32", 700)),
        ("8of8steps:bf16", Duration(None, 8, "bf16", 8)),
    ],
)
def test_minutes_or_steps(text: str, wanted: Duration) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.0",
        "-3",
        "abc",
        "",
        "0steps",
        "1.5steps",
        "30:fp16",
        "nan",
        "inf",
        "1e3",
        "9of8steps",
        "0of8steps",
        "3of",
    ],
)
def test_what_is_no_time_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="it must be minutes above 0, as 30, or steps") as refusal:
        parse(text)
    assert "\n" not in str(refusal.value)
