"""Octets <-> meaning. Pure: no clock, no chance, no socket, no log.

Functions that handle what a peer sent end in ``_untrusted`` and raise ``PeerError`` only.
"""
