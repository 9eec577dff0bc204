"""Who is believed by a certificate: the listed authorities, what was revoked, and the checks in their order."""
