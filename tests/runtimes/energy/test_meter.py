from vitc.runtimes.energy.meter import NoReading


def test_a_reason_says_whether_the_sensor_is_there() -> None:
    assert not NoReading("none").there
    assert NoReading("locked", there=True).there
