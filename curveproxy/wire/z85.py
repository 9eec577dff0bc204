"""Z85 (RFC 32): binary as printable text, the form in which CURVE keys are written."""

import struct

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_POWERS = (85**4, 85**3, 85**2, 85, 1)
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}


def encode(octets: bytes) -> str:
    """Write octets as text: five letters for four octets.

    Raises ValueError when the length is not a multiple of four.
    """
    if len(octets) % 4:
        raise ValueError("Z85 takes a multiple of four octets")
    values = struct.unpack(f">{len(octets) // 4}I", octets)
    return "".join([ALPHABET[value // power % 85] for value in values for power in _POWERS])


def decode(text: str) -> bytes:
    """Read text back into octets: four for five letters.

    Raises ValueError when the length is not a multiple of five, a letter is not of the alphabet, or
    five letters stand for more than four octets can hold.
    """
    if len(text) % 5:
        raise ValueError("Z85 takes a multiple of five letters")
    octets = bytearray()
    for at in range(0, len(text), 5):
        value = 0
        for letter in text[at : at + 5]:
            if letter not in _VALUES:
                raise ValueError("a letter that is not of the Z85 alphabet")
            value = value * 85 + _VALUES[letter]
        if value >= 1 << 32:
            raise ValueError("a group of letters that stands for more than four octets")
        octets += value.to_bytes(4, "big")
    return bytes(octets)
