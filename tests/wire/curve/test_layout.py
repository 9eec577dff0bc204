"""The layouts have the sizes that RFC 25 and RFC 26 give."""

from curveproxy.wire import spec
from curveproxy.wire.curve import layout


def test_commands_have_the_sizes_of_the_rfc() -> None:
    assert layout.HELLO.size == spec.HELLO_SIZE
    assert layout.WELCOME.size == spec.WELCOME_SIZE
    assert layout.INITIATE.size + layout.INITIATE_PLAIN.size + spec.MAC_SIZE == spec.INITIATE_OVERHEAD
    assert layout.READY.size + spec.MAC_SIZE == spec.READY_OVERHEAD


def test_what_is_in_a_box_fits_into_its_place() -> None:
    assert layout.WELCOME_PLAIN.size == spec.KEY_SIZE + layout.COOKIE.size
    assert layout.WELCOME.size == len(spec.WELCOME_NAME) + spec.LONG_NONCE + layout.WELCOME_PLAIN.size + spec.MAC_SIZE
    assert layout.COOKIE.size == spec.LONG_NONCE + layout.COOKIE_PLAIN.size + spec.MAC_SIZE == 96
    assert layout.VOUCH.size == spec.LONG_NONCE + 2 * spec.KEY_SIZE + spec.MAC_SIZE == 96
    assert layout.INITIATE_PLAIN.size == spec.KEY_SIZE + layout.VOUCH.size


def test_each_layout_begins_with_its_name() -> None:
    for name, struct in {
        spec.HELLO_NAME: layout.HELLO,
        spec.WELCOME_NAME: layout.WELCOME,
        spec.INITIATE_NAME: layout.INITIATE,
        spec.READY_NAME: layout.READY,
        spec.ERROR_NAME: layout.ERROR,
    }.items():
        assert name[0] == len(name) - 1
        assert struct.unpack_from(name + bytes(struct.size))[0] == name
