"""What goes wrong on the way to a service, and whose fault that is."""

import errno
import os
import socket

import pytest

from curveproxy.proxy.connect.failures import (
    ASKED,
    AT_ONCE_SECONDS,
    CAUSES,
    FAILURES,
    NO_ANSWER,
    failure_of,
    furthest,
    handshake_failure,
    nearest,
    nobody_listens,
    question_failure,
)
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.reasons import BackendFailure, ClientFailure, Outcome
from curveproxy.wire.errors import Fault, PeerError

HERE, THERE = (socket.AF_INET, ("127.0.0.1", 7)), (socket.AF_INET6, ("::1", 7, 0, 0))


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ECONNREFUSED, BackendFailure.REFUSED),
        (errno.ENOENT, BackendFailure.REFUSED),
        (errno.ECONNRESET, BackendFailure.CLOSED),
        (errno.EPIPE, BackendFailure.CLOSED),
        (errno.ETIMEDOUT, BackendFailure.TIMEOUT),
        (errno.EHOSTUNREACH, BackendFailure.UNREACHABLE),
        (errno.EACCES, BackendFailure.UNREACHABLE),
    ],
)
def test_an_error_of_the_system_is_the_services(number: int, failure: BackendFailure) -> None:
    found = failure_of(OSError(number, os.strerror(number)))
    assert isinstance(found, DialError)
    assert (found.failure, found.detail) == (failure, os.strerror(number).lower())


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC])
def test_what_the_system_has_too_little_of_is_nobodys_fault(number: int) -> None:
    found = failure_of(OSError(number, os.strerror(number)))
    assert isinstance(found, RefusedError)
    assert found.outcome == Outcome.SESSIONS_LIMIT
    assert found.detail


@pytest.mark.parametrize("fault", FAILURES)
def test_a_fault_on_the_wire_keeps_its_detail(fault: Fault) -> None:
    found = failure_of(PeerError(fault, "why"))
    assert isinstance(found, DialError)
    assert (found.failure, found.detail) == (FAILURES[fault], "why")


def test_of_several_addresses_the_failure_nearest_to_an_answer_counts_and_all_are_told() -> None:
    refused, unreachable = (DialError(each, str(each)) for each in (BackendFailure.REFUSED, BackendFailure.UNREACHABLE))
    found = nearest([(HERE, unreachable), (THERE, refused)])
    assert found.failure == BackendFailure.REFUSED
    assert found.detail == "127.0.0.1:7: unreachable; [::1]:7: refused"
    late = DialError(BackendFailure.TIMEOUT, "no answer")
    assert nearest([(HERE, refused), (THERE, late)]).failure == BackendFailure.TIMEOUT


def test_a_word_of_both_lists_is_not_taken_for_the_other() -> None:
    assert str(BackendFailure.REFUSED) == str(ClientFailure.REFUSED)
    assert nobody_listens(BackendFailure.REFUSED)
    assert not nobody_listens(ClientFailure.REFUSED)


# --- the handshake with a CURVE server


@pytest.mark.parametrize("stage", ["greeting", "welcome", "ready"])
def test_who_closes_or_is_silent_has_done_so_at_a_stage(stage: str) -> None:
    for closed in (EOFError(), OSError(errno.ECONNRESET, "reset")):
        assert str(handshake_failure(closed, stage, 0.0)) == f"{stage}_closed"
    assert str(handshake_failure(TimeoutError(errno.ETIMEDOUT, "gone"), stage, 0.0)) == f"{stage}_timeout"


def test_who_closes_late_has_not_closed_for_what_hello_said() -> None:
    late = AT_ONCE_SECONDS + 1
    assert handshake_failure(EOFError(), "welcome", late).failure == ClientFailure.WELCOME_TIMEOUT
    assert handshake_failure(EOFError(), "ready", late).failure == ClientFailure.READY_CLOSED


@pytest.mark.parametrize("fault", CAUSES)
def test_a_fault_of_a_curve_server_keeps_its_detail(fault: Fault) -> None:
    found = handshake_failure(PeerError(fault, "400"), "ready", 0.0)
    assert (found.failure, found.detail) == (CAUSES[fault], "400")


def test_an_error_that_answers_hello_means_another_key_and_behind_initiate_only_a_status_is_repeated() -> None:
    found = handshake_failure(PeerError(Fault.REFUSED), "welcome", 0.0)
    assert (found.failure, found.detail) == (ClientFailure.WELCOME_CLOSED, "it said ERROR")
    found = handshake_failure(PeerError(Fault.REFUSED, "a_word"), "ready", 0.0)
    assert (found.failure, found.detail) == (ClientFailure.REFUSED, "")


# --- the question for certificates


def test_who_closes_at_the_question_has_no_answer() -> None:
    for closed in (EOFError(), OSError(errno.ECONNRESET, "reset"), PeerError(Fault.MECHANISM, "it offers CURVE")):
        found = question_failure(closed, is_curve=True)
        assert (found.failure, found.detail) == (ClientFailure.CERTIFICATE_NONE, NO_ANSWER)
    found = question_failure(PeerError(Fault.MECHANISM, "it offers NULL"), is_curve=False)
    assert (found.failure, found.detail) == (ClientFailure.MECHANISM, "it offers NULL")


@pytest.mark.parametrize("fault", ASKED)
def test_a_fault_of_an_answer_keeps_its_detail_behind_the_flaw_if_it_is_one(fault: Fault) -> None:
    found = question_failure(PeerError(fault, "why"), is_curve=False)
    flaw = f"{fault}: ".removeprefix("certificate_") if found.failure == ClientFailure.CERTIFICATE else ""
    assert (found.failure, found.detail) == (ASKED[fault], f"{flaw}why")
    assert not nobody_listens(found.failure)


@pytest.mark.parametrize("failure", ClientFailure)
def test_of_any_two_failures_of_remotes_one_came_nearer(failure: ClientFailure) -> None:
    assert furthest([DialError(ClientFailure.KEYS), DialError(failure)]).failure == failure
