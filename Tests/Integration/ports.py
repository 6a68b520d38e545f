"""Ports for listeners: outside the range the kernel hands to outgoing connections, and from a share of this
process where several run the suite together, so that nobody else takes a port that is left for a moment."""

import itertools
import os
import random
import socket
import threading

_share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# In a cycle: a port comes back as late as it can.
_candidates = list(range(10000 + _share, 32000, _shares))
random.shuffle(_candidates)
_cycle = itertools.cycle(_candidates)
_lock = threading.Lock()


def free_port() -> int:
    """A port nobody listens on, on any address."""
    with _lock:
        while True:
            port = next(_cycle)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError:
                    continue
            return port
