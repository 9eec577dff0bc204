"""The handshake's turns in C: they do what those in Python do, leak nothing, and leave no secret on the stack."""

import ctypes
import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import curve
from support.curve import Keys
from support.handshake import BINDING, KEY, OTHER_SERVER, PROPERTIES, ROTATING, SERVER
from support.twins import check_nothing_is_kept, twin_named
from support.zmtp import metadata

from curveproxy.wire.curve import handshake
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import PeerError

CLIENT, TRANSIENT, SERVER_TRANSIENT = (Keys.new() for _ in range(3))
PAIR = KeyPair(SERVER_TRANSIENT.public, SERVER_TRANSIENT.secret)
HELLO = curve.hello(TRANSIENT, SERVER.public)
COOKIE = curve.cookie(TRANSIENT.public, SERVER_TRANSIENT.secret, KEY)
VOUCH = curve.vouch(CLIENT, TRANSIENT.public, SERVER.public, SERVER_TRANSIENT.public)
Changes = list[tuple[int, int]]  # where, and which bits
FIRST, CHANCE = curve.short(1), bytes(range(100, 132))


def initiate(said: bytes, *, cookie: bytes = COOKIE, vouch: bytes = VOUCH, nonce: bytes = curve.short(2)) -> bytes:
    """INITIATE's body, of a client that says so."""
    keys = TRANSIENT, SERVER_TRANSIENT.public
    return curve.initiate(cookie, CLIENT.public, vouch, said, *keys, nonce=nonce)


@pytest.fixture(scope="module")
def native() -> ModuleType:
    """The twin in C."""
    module = twin_named("c")
    if module is None:
        pytest.skip("the C codec was not built: there was no compiler")
    return module


def made_of(turn: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """What a turn returns, each with its type; or what it finds wrong."""
    try:
        found: tuple[Any, ...] = turn(*arguments)
    except PeerError as error:
        return error.fault, error.detail, error.args
    except ValueError:
        return (ValueError,)
    return *found, *map(type, found)


def spoiled(body: bytes, changes: Changes) -> bytes:
    """A body with some of its octets changed."""
    octets = bytearray(body)
    for at, other in changes:
        octets[at % len(octets)] ^= other
    return bytes(octets)


no_changes: st.SearchStrategy[Changes] = st.just([])
some_changes = st.one_of(no_changes, st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3))
some_good = st.sampled_from([(ROTATING,), (bytes(32), bytearray(ROTATING)), (bytes(32),), ()])
octets_8 = st.one_of(st.binary(min_size=8, max_size=8), st.sampled_from([FIRST, FIRST[::-1], b"\xff" * 8]))


@given(
    some_changes,
    st.sampled_from([(SERVER,), (OTHER_SERVER, SERVER), (OTHER_SERVER,), ()]),
    st.binary(max_size=20),
    st.binary(min_size=32, max_size=32),
)
def test_both_twins_make_the_same_of_any_hello(
    native: ModuleType, changes: Changes, servers: tuple[KeyPair, ...], binding: bytes, chance: bytes
) -> None:
    arguments = spoiled(HELLO, changes), servers, bytearray(ROTATING), binding, PAIR, chance
    assert made_of(native.answer_hello_untrusted, *arguments) == made_of(handshake.answer_hello_untrusted, *arguments)


@given(some_changes, st.binary(max_size=1000), some_good, octets_8, octets_8, st.sampled_from([SERVER, OTHER_SERVER]))
def test_both_twins_make_the_same_of_any_initiate(
    native: ModuleType,
    changes: Changes,
    said: bytes,
    good: tuple[bytes | bytearray, ...],
    hello_nonce: bytes,
    nonce: bytes,
    server: KeyPair,
) -> None:
    for number in (nonce, hello_nonce, curve.short(2), curve.short(2)[::-1]):
        arguments = spoiled(initiate(said, nonce=number), changes), server.public, good, BINDING, hello_nonce
        assert made_of(native.open_initiate_untrusted, *arguments) == made_of(
            handshake.open_initiate_untrusted, *arguments
        )


@given(octets_8, octets_8)
def test_both_twins_judge_any_two_numbers_alike(native: ModuleType, before: bytes, number: bytes) -> None:
    body = b"\x08INITIATE" + COOKIE + number + bytes(144)
    arguments = body, SERVER.public, (ROTATING,), BINDING, before
    assert made_of(native.open_initiate_untrusted, *arguments) == made_of(handshake.open_initiate_untrusted, *arguments)


def calls(native: ModuleType) -> list[Callable[[], Any]]:
    """One that works, one of each flaw, and all that is refused."""
    good_hello = HELLO, (OTHER_SERVER, SERVER), bytearray(ROTATING), BINDING, PAIR, CHANCE
    good_initiate = initiate(metadata(PROPERTIES)), SERVER.public, (bytes(32), ROTATING), BINDING, FIRST

    def taken(turn: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
        return lambda: made_of(turn, *arguments)

    def wrong(turn: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
        def attempt() -> None:
            with pytest.raises((TypeError, ValueError, AttributeError)):
                turn(*arguments)

        return attempt

    def with_other(arguments: tuple[Any, ...], at: int, other: Any) -> tuple[Any, ...]:
        return *arguments[:at], other, *arguments[at + 1 :]

    hello, opened = native.answer_hello_untrusted, native.open_initiate_untrusted
    no_key = KeyPair(bytes(31), bytes(31))
    return [
        *[taken(hello, (spoiled(HELLO, [(at, 1)] if at else []), *good_hello[1:])) for at in (0, 6, 8, 80, 120)],
        taken(hello, (curve.hello(TRANSIENT, SERVER.public, plaintext=b"x" * 64), *good_hello[1:])),
        taken(opened, good_initiate),
        taken(opened, (initiate(bytes(70_000)), *good_initiate[1:])),
        *[taken(opened, (spoiled(good_initiate[0], [(at, 1)]), *good_initiate[1:])) for at in (9, 112, 113)],
        taken(opened, with_other(good_initiate, 1, OTHER_SERVER.public)),
        *[wrong(hello, good_hello[:count]) for count in (0, 5)],
        *[wrong(opened, good_initiate[:count]) for count in (0, 4)],
        *[wrong(hello, with_other(good_hello, at, other)) for at in range(6) for other in (None, 1, "text")],
        *[wrong(hello, with_other(good_hello, at, b"short")) for at in (0, 1, 2, 4, 5)],
        *[wrong(hello, with_other(good_hello, 1, other)) for other in ((None,), (no_key,), [SERVER])],
        wrong(hello, with_other(good_hello, 4, no_key)),
        wrong(hello, with_other(good_hello, 4, KeyPair(PAIR.public, bytes(33)))),
        wrong(hello, with_other(good_hello, 0, HELLO + b"\0")),
        wrong(hello, with_other(good_hello, 0, bytearray(HELLO))),
        *[
            wrong(opened, with_other(good_initiate, at, other))
            for at in (0, 1, 2, 4)
            for other in (None, 1, "text", b"short", bytes(33))
        ],
        *[wrong(opened, with_other(good_initiate, 3, other)) for other in (None, 1, "text")],
        *[wrong(opened, with_other(good_initiate, 2, other)) for other in ((None,), (bytes(31),), [ROTATING])],
        wrong(opened, with_other(good_initiate, 0, initiate(b"")[:-1])),
    ]


@pytest.mark.deep
def test_nothing_is_kept_of_a_call_that_works_or_fails(native: ModuleType) -> None:
    check_nothing_is_kept(calls(native), 20)


def deep(levels: int, turn: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same as ``made_of``, so far down the stack that nothing writes over what is left there."""
    return next(map(deep, [levels - 1], [turn], [arguments])) if levels else made_of(turn, *arguments)


def left_on_the_stack(turn: Callable[..., Any], *arguments: Any) -> tuple[tuple[Any, ...], bytes]:
    """What a turn makes of it, and the whole stack of its thread behind that."""
    libc, found = ctypes.CDLL(None), []

    def body() -> None:
        attributes, begin, size = ctypes.create_string_buffer(64), ctypes.c_void_p(), ctypes.c_size_t()
        libc.pthread_self.restype = ctypes.c_void_p
        libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes)
        libc.pthread_attr_getstack(attributes, ctypes.byref(begin), ctypes.byref(size))
        made = deep(10, turn, arguments)
        found.append((made, ctypes.string_at(begin.value or 0, size.value)))

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return found[0]


@pytest.mark.skipif("PYTHONMALLOC" in os.environ, reason="the sanitizers' stack is another")
def test_no_secret_is_left_on_the_stack(native: ModuleType) -> None:
    good = SERVER, OTHER_SERVER
    secrets = [SERVER.secret, OTHER_SERVER.secret, SERVER_TRANSIENT.secret, KEY, ROTATING]
    secrets += [curve.shared_key(TRANSIENT.public, pair.secret) for pair in good]
    secrets += [curve.shared_key(keys.public, SERVER_TRANSIENT.secret) for keys in (TRANSIENT, CLIENT)]
    parts = [secret[at : at + 8] for secret in secrets for at in range(0, 32, 8)]
    seen = []

    def check(turn: Callable[..., Any], *arguments: Any) -> tuple[tuple[Any, ...], bytes]:
        made, octets = left_on_the_stack(turn, *arguments)
        assert not [part for part in parts if part in octets]
        return made, octets

    for pair, plaintext in ((SERVER, curve.NO_BOX), (OTHER_SERVER, curve.NO_BOX), (SERVER, b"x" * 64)):
        body = curve.hello(TRANSIENT, pair.public, plaintext=plaintext)
        for changes in ([], [(120, 1)]):
            hello = spoiled(body, changes), good, ROTATING, BINDING, PAIR, CHANCE
            made, octets = check(native.answer_hello_untrusted, *hello)
            if isinstance(made[0], KeyPair):
                seen.append(made[2][2:] in octets)
    # Once, for the interpreter may step on it: where it lets another thread run.
    assert any(seen), "WELCOME, which is no secret, would be there: so the others would be, too"
    check(native.answer_hello_untrusted, HELLO, good, ROTATING, BINDING, PAIR, b"short")
    for octets, server in (
        (initiate(metadata(PROPERTIES)), SERVER),
        (initiate(b""), OTHER_SERVER),
        (initiate(b"", nonce=curve.short(3)), SERVER),
        (spoiled(initiate(b""), [(-1, 1)]), SERVER),
        (spoiled(initiate(b""), [(9, 1)]), SERVER),
    ):
        check(native.open_initiate_untrusted, octets, server.public, (bytes(32), ROTATING), BINDING, FIRST)
