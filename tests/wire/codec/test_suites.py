"""Which suites there are, and where the keys of records begin."""

import pytest
from support import record_vectors

from curveproxy.wire import sodium
from curveproxy.wire.codec.suites import Suite, available_suites, session_chains

GIVEN = record_vectors.load()


def test_aegis_is_offered_where_the_processor_has_aes(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_aegis, has_aes in ((True, True), (True, False), (False, True)):
        monkeypatch.setattr(sodium, "has_aegis", lambda has_aegis=has_aegis: has_aegis)
        monkeypatch.setattr(sodium, "has_fast_aes", lambda has_aes=has_aes: has_aes)
        wanted = (Suite.AEGIS_256, Suite.XSALSA20_POLY1305) if has_aegis and has_aes else (Suite.XSALSA20_POLY1305,)
        assert available_suites() == wanted


def test_a_suite_has_a_number_a_word_and_a_tag() -> None:
    assert [(suite, suite.word, suite.tag_size) for suite in Suite] == [
        (1, "xsalsa20-poly1305", 16),
        (2, "aegis-256", 32),
    ]


@pytest.mark.parametrize("given", GIVEN.suites, ids=lambda given: Suite(given.suite).word)
def test_chains_are_those_of_the_vectors(given: record_vectors.Suite) -> None:
    keys = GIVEN.client, GIVEN.server, Suite(given.suite)
    chains = session_chains(GIVEN.shared, GIVEN.initiate, given.ready, *keys)
    assert {"client": chains.from_client, "server": chains.from_server} == given.chains
    assert not any(chain.hex() in repr(chains) for chain in given.chains.values())


def test_all_that_was_said_is_in_them() -> None:
    def chain(told: list[bytes], suite: Suite = Suite.AEGIS_256) -> bytes:
        shared, initiate, ready, client, server = told
        return session_chains(shared, initiate, ready, client, server, suite).from_client

    told = [GIVEN.shared, GIVEN.initiate, GIVEN.suites[0].ready, GIVEN.client, GIVEN.server]
    found = {chain(told, suite) for suite in Suite}
    for place in range(len(told)):
        found.add(chain([*told[:place], bytes([told[place][0] ^ 1]) + told[place][1:], *told[place + 1 :]]))
    # where one of the two ends and the other begins counts too
    found.add(chain([told[0], told[1] + told[2][:1], told[2][1:], *told[3:]]))
    assert len(found) == 2 + len(told) + 1
