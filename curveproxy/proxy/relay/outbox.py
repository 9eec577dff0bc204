"""What a pump owes its sink: octets that it has not taken, in memory that is not much larger than they are."""

from curveproxy.proxy.net.buffers import GRAIN

NOTHING = memoryview(b"")


def memory_of(owed: memoryview) -> int:
    """Octets that are kept as long as any of these is owed."""
    return len(owed.obj)  # type: ignore[arg-type]


def owe(octets: memoryview, sent: int, *, is_ours: bool) -> memoryview:
    """What is left of ``octets`` to be written.

    is_ours: nobody else uses their memory. It is kept unless much of it would be kept for little.
    """
    left = octets[sent:]
    if is_ours and 2 * len(left) + GRAIN >= memory_of(octets):
        return left
    return memoryview(bytes(left))
