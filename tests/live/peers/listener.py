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
        self.port = 0
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.come_back()

    def serve(self, client: socket.socket) -> None:
        """Talk to one client; in a thread of its own."""
        raise NotImplementedError

    def come_back(self) -> None:
        """Listen, at the port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def go_away(self) -> None:
        """Close the port and every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.kick()

    def kick(self) -> None:
        """Close every connection."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()
        for thread in self._threads:
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._clients.append(client)
            thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()
