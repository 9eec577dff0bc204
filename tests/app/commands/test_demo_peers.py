"""The peers of the demo, against libzmq and against each other."""

import socket
from functools import partial

import pytest
import trio
import zmq
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import SECONDS

from curveproxy.app.commands.demo_peers import CHUNK, Conversation, ask, is_refused, shout
from curveproxy.policy.socket_types import REQ


def streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Both ends of a connection."""
    ours, theirs = (trio.socket.from_stdlib_socket(sock) for sock in socket.socketpair())
    return trio.SocketStream(ours), trio.SocketStream(theirs)


async def test_the_client_is_answered_in_capitals_by_the_service() -> None:
    client, service = streams()
    with trio.fail_after(SECONDS):
        async with service, trio.open_nursery() as nursery:
            nursery.start_soon(shout, service)
            talk = await Conversation.begin(client, REQ)
            assert [await ask(talk, text) for text in (b"one", b"a" * CHUNK)] == [b"ONE", b"A" * CHUNK]
            await client.aclose()  # which ends the service


async def test_the_service_answers_libzmq() -> None:
    with trio.fail_after(SECONDS), Libzmq() as z:
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, shout, 0, host="127.0.0.1"))
            endpoint = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
            requester = z.connect(zmq.REQ, endpoint)
            requester.send(b"hello")
            assert await trio.to_thread.run_sync(requester.recv) == b"HELLO"
            nursery.cancel_scope.cancel()


async def test_the_client_is_answered_by_libzmq() -> None:
    with trio.fail_after(SECONDS), Libzmq() as z:
        service, endpoint = z.bind(zmq.REP)
        stream = await trio.open_tcp_stream("127.0.0.1", int(endpoint.rpartition(":")[2]))
        async with stream, trio.open_nursery() as nursery:
            talk = await Conversation.begin(stream, REQ)
            nursery.start_soon(trio.to_thread.run_sync, lambda: service.send(service.recv() + b"!"))
            assert await ask(talk, b"hello") == b"hello!"


async def test_a_service_is_not_ended_by_what_one_connection_says() -> None:
    client, service = streams()
    async with client, service:
        await client.send_all(b"GET / HTTP/1.0\r\n\r\n")
        with trio.fail_after(SECONDS):
            await shout(service)


async def test_a_client_hears_that_the_other_side_has_closed() -> None:
    client, service = streams()
    async with client:
        await service.send_eof()
        with trio.fail_after(SECONDS), pytest.raises(EOFError):
            await Conversation.begin(client, REQ)
    await service.aclose()


@pytest.mark.parametrize("listed", [False, True])
async def test_whether_a_client_with_curve_is_refused_is_told(listed: bool) -> None:
    keys = Keys.new()
    with trio.fail_after(SECONDS), Libzmq() as z:
        _, endpoint = z.bind(zmq.REP, server=keys if listed else Keys.new(), handshake_ivl=200)
        stream = await trio.open_tcp_stream("127.0.0.1", int(endpoint.rpartition(":")[2]))
        async with stream:
            assert await is_refused(stream, keys.public) is not listed
