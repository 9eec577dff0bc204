"""What an error says."""

from curveproxy.wire.errors import CodecError, Fault, LocalError, PeerError


def test_a_peers_error_names_its_fault_and_the_detail() -> None:
    error = PeerError(Fault.HELLO, "too short")
    assert (error.fault, error.detail, str(error)) == (Fault.HELLO, "too short", "hello: too short")
    assert str(PeerError(Fault.HELLO)) == "hello"


def test_a_fault_has_the_word_of_its_name() -> None:
    assert all(fault == fault.name.lower() for fault in Fault)


def test_our_own_mistakes_are_not_a_peers() -> None:
    assert issubclass(CodecError, LocalError)
    assert not issubclass(LocalError, PeerError)
