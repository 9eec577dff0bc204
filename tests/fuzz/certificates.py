"""The target of certificates: a text is read as an independent reader reads it, or refused, whoever signed it."""

from support import certificates
from support.certificates import CLIENT, FULL, SERVER, signed, text_of

from curveproxy.wire.certificate import MOST, read_untrusted
from fuzz import faults
from fuzz.material import Material
from fuzz.targets import judged, refused, target

LINES = (
    b"#   x\n",
    b"\n",
    b"metadata\n",
    b"curve\n",
    b'    note-x = "y"\n',
    b'    colour = "red"\n',
    b"#" * 1500 + b"\n",
)
VALUES = ("", "x", "*", "%00", "%ff a", "a  b", "9" * 19, "2026-13-01T00:00:00Z", "%")


@target("wire.certificate.read_untrusted")
def certificate(material: Material) -> None:
    """A text with lines moved, doubled and put in, values changed, and octets damaged, before or after it is signed."""
    fields = dict(material.pick([CLIENT, FULL, SERVER]))
    for _ in range(material.number(2)):
        name = material.pick(sorted(FULL.keys() | SERVER.keys()))
        fields[name] = material.pick(VALUES)
    honest = text_of(signed(fields))
    lines = honest.splitlines(keepends=True)
    for _ in range(material.number(3)):
        lines.insert(material.number(len(lines)), material.pick([*LINES, *lines]))
    text = material.damaged(b"".join(lines))
    found = judged(faults.OF_A_CERTIFICATE, read_untrusted, text)
    if refused(found):
        assert text != text_of(signed(CLIENT))
        return
    assert len(text) <= MOST
    assert found.text == b"".join(line for line in text.splitlines(keepends=True) if line[:1] not in (b"#", b"\n"))
    said = dict(_field(line) for line in found.text.decode().splitlines() if " = " in line)
    assert found.signed == certificates.signed_octets(said)
    assert found.verifies() == (signed({name: said[name] for name in said.keys() - ISSUER}) == said)


ISSUER = {"authority", "signature"}


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" = ")
    return name.strip(), value.strip('"')
