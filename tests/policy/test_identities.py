"""Whose each identity is, and which are shared."""

from curveproxy.policy.identities import RIVALS_SECONDS, Claim, IdentityClaims, Rivals

NAME = ("orders", b"me")


def test_who_comes_again_takes_it_from_its_older_self_wherever_that_was() -> None:
    identities = IdentityClaims[str]()
    older, newer = Claim("one", "alice", 1), Claim("two", "alice", 7)
    assert identities.claim(NAME, older) is None
    assert identities.claim(NAME, newer) == older
    identities.release(NAME, older)
    assert identities.claim(NAME, Claim("one", "bob", 2)) == newer


def test_another_key_takes_nothing_until_it_is_free() -> None:
    identities = IdentityClaims[str]()
    alice, bob = Claim("one", "alice", 1), Claim("two", "bob", 1)
    identities.claim(NAME, alice)
    assert identities.claim(NAME, bob) == alice
    identities.release(NAME, bob)
    assert identities.claim(NAME, bob) == alice
    assert identities.claim(("prices", b"me"), bob) is None
    identities.release(NAME, alice)
    assert identities.claim(NAME, bob) is None


def test_with_a_process_all_its_clients_are_forgotten() -> None:
    identities = IdentityClaims[str]()
    for number in range(3):
        identities.claim(("orders", number), Claim("one", "alice", number))
    other = Claim("two", "alice", 1)
    identities.claim(NAME, other)
    identities.forget("one")
    assert len(identities) == 1
    assert identities.claim(NAME, Claim("one", "bob", 4)) == other


def test_an_identity_whose_sessions_are_replaced_again_and_again_is_told_of_now_and_then() -> None:
    rivals = Rivals()
    assert [rivals.add(b"me", now) for now in range(9)] == [False, False, False, True, False, False, False, True, False]
    assert not rivals.add(b"another", 8.0)
    rivals.expire(RIVALS_SECONDS + 1)
    assert len(rivals) == 1
    assert not any(rivals.add(b"me", RIVALS_SECONDS + 1) for _ in range(3)), "that was long ago"
