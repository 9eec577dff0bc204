"""Octets <-> meaning. Pure: no clock, no chance, no socket, no log.

Functions that handle what a peer sent end in ``_untrusted``, and raise ``PeerError`` at whatever the peer may send. It
names a ``Fault``; what that is called, in a metric or a hint, is decided by the side of the proxy that met it.
"""
