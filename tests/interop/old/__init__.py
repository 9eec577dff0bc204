"""Old libraries before the proxy and behind it: what works with which version."""
