"""Figures and names as a person reads them."""

from curveproxy.app.observe.text import duration, printable, short, suggestion


def test_words_for_figures() -> None:
    assert [short(number) for number in (0, 999, 1000, 12_345, 999_999, 5e12, 1e18)] == [
        "0",
        "999",
        "1 k",
        "12.3 k",
        "1 M",
        "5 T",
        "1e+06 T",
    ]
    assert [duration(seconds) for seconds in (-1, 0.9, 59, 60, 3_665, 90_000, 700_000)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
        "8 d 2 h",
    ]
    assert printable("a\x1b[31m\nb") == r"a\x1b[31m\nb"


def test_an_unknown_name_is_answered_by_one_like_it_or_by_all() -> None:
    assert suggestion("order", ["orders", "prices"]) == "did you mean orders"
    assert suggestion("x", ["orders", "prices"]) == "there are orders, prices"
