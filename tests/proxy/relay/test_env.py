"""What was relayed, of all sessions of a service."""

from curveproxy.proxy.relay.env import Traffic


def test_both_directions_are_counted_by_themselves() -> None:
    traffic = Traffic()
    traffic.count_in(2, 30)
    traffic.count_in(1, 5)
    traffic.count_out(4, 7)
    assert traffic == Traffic(3, 35, 4, 7)
