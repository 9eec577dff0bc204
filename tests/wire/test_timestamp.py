"""Times of certificates, against Python's own calendar."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curveproxy.wire.timestamp import read_time, write_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001  hypothesis adds the zone
moments = times.map(lambda time: time.replace(tzinfo=UTC, microsecond=0))


def text_of(time: datetime) -> str:
    return f"{time.year:04}-{time:%m-%dT%H:%M:%SZ}"


@given(moments)
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(2000, 2, 29, 23, 59, 59, tzinfo=UTC))
@example(datetime(2100, 3, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
def test_a_time_is_what_pythons_calendar_says(time: datetime) -> None:
    seconds = (time - EPOCH) // timedelta(seconds=1)
    assert read_time(text_of(time)) == seconds
    assert write_time(seconds) == text_of(time)


@pytest.mark.deep
def test_every_day_of_four_centuries() -> None:
    for day in range(400 * 366):
        time = datetime(1890, 1, 1, 5, 40, tzinfo=UTC) + timedelta(days=day)
        assert write_time(read_time(text_of(time))) == text_of(time)


@given(st.text("0123456789-:TZ", max_size=24) | st.from_regex(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z\Z"))
def test_what_is_no_time_for_python_is_none_for_us(text: str) -> None:
    try:
        theirs = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        theirs = None
    if theirs is not None and text_of(theirs) == text:
        assert read_time(text) == (theirs - EPOCH) // timedelta(seconds=1)
    else:
        with pytest.raises(ValueError):
            read_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26T05:40:00", "2026-11-26 05:40:00Z", "2026-11-26T05:40:00+00:00", "2026-11-26T05:40:60Z",
        "2026-11-26T05:60:00Z", "2026-11-26T24:00:00Z", "2026-11-31T05:40:00Z", "2027-02-29T05:40:00Z",
        "2100-02-29T05:40:00Z", "2026-00-26T05:40:00Z", "2026-13-26T05:40:00Z", "2026-11-00T05:40:00Z",
        "0000-11-26T05:40:00Z", "٢٠26-11-26T05:40:00Z", "2026-11-26T05:40:00Z\n", "",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_time(text)


@pytest.mark.parametrize("seconds", [-62135596801, 253402300800])
def test_a_year_has_four_digits(seconds: int) -> None:
    with pytest.raises(ValueError):
        write_time(seconds)
