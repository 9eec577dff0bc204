"""Sockets and deadlines: the way of a connection, a folder a stage.

``net``      what the operating system gives: sockets, an epoll in which all wait, deadlines, shared buffers.
``accept``   A listener accepts, and admission sees each connection through its handshake without a task, a buffer or
             a secret of its own: what has come is peeked at and left in the kernel until a whole unit of the handshake
             is there. It ends with a client that has proved its key.
``pending``  That client's service decides whether it is allowed, claims its identity and asks for a connection to the
             backend. The client waits for READY meanwhile.
``connect``  A dialer, one a service, keeps the backend's address and its circuit breaker. An attempt drives one
             handshake with it, whatever version it speaks.
``relay``    A session of two established peers: two pumps, each of which reads one side, has whole frames opened or
             sealed, and writes the other.

``server`` has the listeners and the services, ``service`` the sessions of one. Above them stands the process, of which
this package knows an ``observer`` that it tells, and ``settings`` that it is handed. Imports go down this list: a stage
hands over to the next one through a Protocol that stands beside it, and knows none of the others.
"""
