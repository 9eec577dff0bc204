"""The status of a process as it comes over a channel, for what shows it and what joins several."""

from typing import Any

from curveproxy.app.observe.status import Status, status_of


def count(word: str, total: int, recent: int, ago: float, event: str = "client refused") -> dict[str, Any]:
    return {
        "event": event,
        "word": word,
        "hint": "",
        "total": total,
        "recent": recent,
        "peer": f"peer {ago}",
        "detail": "",
        "ago": ago,
    }


def status(up: bool | None, sessions: int, *counts: dict[str, Any]) -> Status:
    """Of one process with one service, as it comes over a channel."""
    history = {"half_open": [0], "sessions": [sessions], "messages": [], "refusals": []}
    return status_of(
        {
            "version": "1",
            "codec": "c",
            "seconds": 10.0 * sessions,
            "troubles": [],
            "matching": sessions,
            "services": [
                {
                    "name": "orders",
                    "endpoint": "tcp://*:5556",
                    "backend": "tcp://127.0.0.1:5555",
                    "backend_up": up,
                    "half_open": {"value": 0, "limit": 50},
                    "sessions": {"value": sessions, "limit": 50},
                    "client_keys": 3,
                    "server_keys": 1,
                    **dict.fromkeys(("messages_in", "messages_out", "octets_in", "octets_out"), 7),
                    "admitted": 1,
                    "refused": 2,
                    "counts": list(counts),
                    "history": history,
                }
            ],
            "sessions": [
                {
                    "id": number,
                    "service": "orders",
                    "client": "alice",
                    "peer": "192.0.2.1:1",
                    "seconds": float(number),
                    "socket_type": "REQ",
                    "zmtp": "3.1",
                    **dict.fromkeys(("messages_in", "messages_out", "octets_in", "octets_out"), number),
                }
                for number in range(1, sessions + 1)
            ],
        }
    )
