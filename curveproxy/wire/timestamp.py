"""Times as certificates write them, ``2026-11-26T05:40:00Z``, and as Unix seconds. Pure arithmetic, without a clock."""

import re

DAY = 86400
_TEXT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LAST_YEAR = 9999
# Years are counted from a first of March, so that the day of a leap year is the last of its year: 400 of them have so
# many days, and this many lie before 1970-01-01.
_ERA_YEARS, _ERA_DAYS, _EPOCH = 400, 146097, 719468
_YEAR, _FOUR_YEARS, _CENTURY = 365, 1460, 36524


def read_time(text: str) -> int:
    """Unix seconds of a time in UTC, of the years 1 to 9999; there are no leap seconds. Raises ValueError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError("it is not of the form 2026-11-26T05:40:00Z")
    year, month, day, hour, minute, second = map(int, found.groups())
    if not (year and 1 <= month <= 12 and 1 <= day <= _days_in(year, month) and hour < 24 and minute < 60 > second):
        raise ValueError("there is no such time")
    return _days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second


def write_time(seconds: int) -> str:
    """The reverse. Raises ValueError outside of the years 1 to 9999."""
    days, rest = divmod(seconds, DAY)
    year, month, day = _date_of(days)
    if not 1 <= year <= _LAST_YEAR:
        raise ValueError("it is not of the years 1 to 9999")
    return f"{year:04}-{month:02}-{day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


def _days_in(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _MONTHS[month - 1] + (month == 2 and is_leap)


def _days_before(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date."""
    from_march = (month - 3) % 12
    era, year_of_era = divmod(year - (month < 3), _ERA_YEARS)
    day_of_year = (153 * from_march + 2) // 5 + day - 1  # months from March on have 31 30 31 30 31, again and again
    leap_days = year_of_era // 4 - year_of_era // 100
    return era * _ERA_DAYS + year_of_era * _YEAR + leap_days + day_of_year - _EPOCH


def _date_of(days: int) -> tuple[int, int, int]:
    """Year, month and day, so many days from 1970-01-01."""
    era, day_of_era = divmod(days + _EPOCH, _ERA_DAYS)
    leap_days = day_of_era // _FOUR_YEARS - day_of_era // _CENTURY + day_of_era // (_ERA_DAYS - 1)
    year_of_era = (day_of_era - leap_days) // _YEAR
    day_of_year = day_of_era - (year_of_era * _YEAR + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * day_of_year + 2) // 153
    month = (from_march + 2) % 12 + 1
    return era * _ERA_YEARS + year_of_era + (month < 3), month, day_of_year - (153 * from_march + 2) // 5 + 1
