"""What is to be seen of a proxy, as data that crosses a channel."""

import attrs
import pytest
from support.overview import count, status

from curveproxy.app.observe.status import Query, status_of


def test_json_keeps_all_of_it() -> None:
    found = status(True, 3, count("cookie", 1, 0, 9))
    assert status_of(attrs.asdict(found)) == found


@pytest.mark.parametrize("text", [{"sessions": "1001"}, {"sessions": "-1"}, {"sessions": "x"}, {"sort": "none"}])
def test_a_query_is_checked(text: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Query.parse(text)
