"""Identities over all workers: a client that connects to another worker replaces its session in the first."""

from collections.abc import Awaitable
from contextlib import suppress

import trio

from curveproxy.app.process.channel import GoneError
from curveproxy.app.process.worker_handle import WorkerHandle
from curveproxy.policy.identities import Claim, IdentityClaims
from curveproxy.proxy.relay.session import LINGER_SECONDS

# How long a client waits for the end of an older session of its identity in another worker, which may linger.
MAKE_WAY_SECONDS = LINGER_SECONDS + 1.0


class SharedIdentities:
    """Answers the workers' requests about identities. identity, key: in hexadecimal digits."""

    def __init__(self) -> None:
        self._claims = IdentityClaims[WorkerHandle]()

    def claim(self, worker: WorkerHandle, service: str, identity: str, key: str, number: int) -> Awaitable[bool]:
        """Give an identity to a client of a worker. Its answer is whether the client may have it.

        The claim is made when this returns, so that claims are in the order of their requests; the answer waits for the
        end of the older session.
        """
        claim = Claim(worker, key, number)
        holder = None if worker.is_killed else self._claims.claim((service, identity), claim)
        return self._make_way(holder, claim, service, identity)

    async def _make_way(
        self, holder: Claim[WorkerHandle] | None, claim: Claim[WorkerHandle], service: str, identity: str
    ) -> bool:
        if holder is None:
            return True
        if holder.key != claim.key:
            return False
        if holder.process is claim.process:  # which has replaced the session by itself
            return True
        with suppress(GoneError), trio.move_on_after(MAKE_WAY_SECONDS):
            await holder.process.make_way(service, identity, holder.number)
        return True

    def release(self, worker: WorkerHandle, service: str, identity: str, key: str, number: int) -> None:
        """Take back an identity whose client has gone."""
        self._claims.release((service, identity), Claim(worker, key, number))

    def forget(self, worker: WorkerHandle) -> None:
        """Take back all identities of a worker that has ended."""
        self._claims.forget(worker)
