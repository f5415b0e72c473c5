"""What servers on the loopback share: they listen, and serve each client in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Listener:
    """Accepts whoever comes until it is left; ``serve`` is what it does with each.

    Attributes:
        port: at which it listens.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def serve(self, client: socket.socket) -> None:
        """Talk to one client; in a thread of its own."""
        raise NotImplementedError

    def kick(self) -> None:
        """Close every connection."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.kick()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()
