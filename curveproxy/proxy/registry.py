"""What several processes that relay the same services must agree on."""

from typing import Protocol


class IdentityRegistry(Protocol):
    """Whose each identity is, in all of them. number: the client's, of which there is no other in this process."""

    async def claim(self, service: str, identity: bytes, key: bytes, number: int) -> bool:
        """Whether a client may have an identity. If so, an older session of its key has ended, wherever it was."""

    def release(self, service: str, identity: bytes, key: bytes, number: int) -> None:
        """It has gone, or has never come in."""
