"""The question for a server's certificates, and its answer; in pieces of any size it is in ``test_initiator``."""

import pytest
from support import certificates, zmtp
from support.handshake import fault_of
from support.zmtp import COMMAND, command_frame

from curveproxy.wire.certificate import MOST
from curveproxy.wire.curve.asking import (
    ANSWER_GREETING,
    CertificateQuestion,
    answer,
    answer_size,
    read_answer_untrusted,
)
from curveproxy.wire.errors import Fault, LocalError, PeerError

TEXTS = [certificates.certificate(certificates.SERVER), certificates.VECTOR_TEXT, b"", b"x" * MOST]
GREETING = zmtp.greeting(b"CURVE-CERTIFICATE", as_server=1)
# What stands in an answer beside its texts: the command's name, and the size of each.
NAME, SIZE = 12, 2


def asked(octets: bytes) -> list[bytes]:
    question = CertificateQuestion()
    assert question.receive_untrusted(octets) == b""
    assert question.done
    return question.texts


def test_it_says_its_mechanism_and_nothing_else() -> None:
    assert CertificateQuestion().start() == zmtp.greeting(b"CURVE-CERTIFICATE", as_server=0)


@pytest.mark.parametrize("number", range(len(TEXTS) + 1))
def test_what_we_answer_is_what_the_document_says_and_is_understood(number: int) -> None:
    texts = TEXTS[:number]
    assert answer(texts) == certificates.answer(*texts)
    assert asked(answer(texts)) == texts


def test_an_answer_has_8192_octets_at_most() -> None:
    largest = [b"x" * (8192 - NAME - SIZE)]
    assert asked(answer(largest)) == largest
    with pytest.raises(LocalError, match="8193"):
        answer([largest[0] + b"x"])


def test_what_comes_behind_it_is_not_waited_for() -> None:
    assert asked(answer([b"text"]) + b"behind") == [b"text"]


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"HTTP/1.1 400", Fault.NOT_ZMTP),
        (b"noise", Fault.NOT_ZMTP),
        (b"\xff" + bytes(8) + b"\x7f\x01", Fault.ZMTP_VERSION),
        (zmtp.greeting(b"NULL"), Fault.MECHANISM),
        (zmtp.greeting(b"CURVE", as_server=1), Fault.MECHANISM),
        (zmtp.greeting(b"CURVE-CERTIFICATE", as_server=0), Fault.ROLE),
        (GREETING + b"noise", Fault.COMMAND),
        (GREETING + zmtp.frame(b"a message"), Fault.COMMAND),
        (GREETING + command_frame(b"ERROR", b"\x03400"), Fault.COMMAND),
        (GREETING + zmtp.frame(b"\x0bCERTIFICATE", COMMAND, long=True, size=8193), Fault.CERTIFICATE_TOO_LARGE),
        (GREETING + zmtp.frame(b"\x0bCERTIFICATE", COMMAND, long=True, size=1 << 62), Fault.CERTIFICATE_TOO_LARGE),
        (GREETING + command_frame(b"CERTIFICATE", b"\0"), Fault.CERTIFICATE_MALFORMED),
        (GREETING + command_frame(b"CERTIFICATE", b"\0\4text\0\5text"), Fault.CERTIFICATE_MALFORMED),
    ],
)
def test_what_is_no_answer_is_refused_by_its_name(octets: bytes, fault: Fault) -> None:
    assert fault_of(lambda: CertificateQuestion().receive_untrusted(octets)) == fault


@pytest.mark.parametrize("mechanism", [b"CURVE", b"NULL"])
def test_a_server_that_knows_no_certificates_is_told_from_one_without_curve(mechanism: bytes) -> None:
    question = CertificateQuestion()
    with pytest.raises(PeerError, match=mechanism.decode()):
        question.receive_untrusted(zmtp.greeting(mechanism))
    assert question.is_curve == (mechanism == b"CURVE")


def test_the_size_of_an_answer_is_known_before_it_is_made_and_each_text_is_told_once() -> None:
    texts = [b"one", b"another", b"one"]
    body = answer(texts)[len(ANSWER_GREETING) + 2 :]
    assert len(body) == answer_size(texts)
    assert read_answer_untrusted(body) == [b"one", b"another"]
