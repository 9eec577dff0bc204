"""What the operating system gives: sockets, readiness, deadlines, buffers. No ZMTP."""
