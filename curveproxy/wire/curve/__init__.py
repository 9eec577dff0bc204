"""The CurveZMQ handshake (RFC 26): its boxes, its cookie, its two sides."""
