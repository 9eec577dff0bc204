"""All work per frame after the handshake: the definition in Python and its twin in C."""
