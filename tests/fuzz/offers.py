"""Target of offers of records, and of their answers: what fits is told beforehand from the octets."""

from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.errors import Fault
from curveproxy.wire.offer import Agreement, Terms, judge_offer, read_answer_untrusted
from fuzz.material import Material
from fuzz.targets import judged, refused, target

NAME = "X-Curveproxy-Records"
SUITES = ([2, 1], [1, 2], [1], [2])


@target("wire.offer.read_answer_untrusted")
def offers(material: Material) -> None:
    """Whatever one side says, the other takes what fits and nothing else."""
    preferred = material.pick(SUITES)
    terms = Terms([Suite(each) for each in preferred], material.pick([0, 64]))
    offer = material.damaged(bytes([1, material.number(255), *material.pick(SUITES)]))
    common = [each for each in preferred if each in offer[2:]]
    fits = 3 <= len(offer) <= 16 and offer[0] == 1 and common
    wanted = Agreement(Suite(common[0]), terms.pad_to, peer_pads=bool(offer[1] & 1)) if fits else None
    agreed = judge_offer({NAME: offer}, terms)
    assert agreed == wanted
    if agreed is not None:
        assert read_answer_untrusted({NAME: agreed.answer}, terms) == Agreement(
            agreed.suite, terms.pad_to, peer_pads=bool(terms.pad_to)
        )
    answer = material.damaged(bytes([1, material.number(255), material.number(3)]))
    found = judged([Fault.READY], read_answer_untrusted, {NAME: answer}, terms)
    is_ours = len(answer) == 3 and answer[0] == 1 and answer[2] in preferred
    assert refused(found) != is_ours
    if is_ours:
        assert found == Agreement(Suite(answer[2]), terms.pad_to, peer_pads=bool(answer[1] & 1))
