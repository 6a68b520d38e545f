"""Ports for listeners: outside the range the kernel hands to outgoing connections, and from blocks that belong to
this process alone, so that nobody else takes a port that is left for a moment, neither the other processes of this
run nor another run on the machine.

A block is owned by whoever has bound its name, an abstract Unix socket: the kernel takes it back when the process
ends, and it is the same name exactly where it would be the same port, in one network namespace.
"""

import random
import socket
import threading

_FIRST, _LAST, _BLOCK, _BLOCKS_WANTED = 10000, 32000, 250, 3


def _own_blocks():
    """Some blocks nobody has, with the sockets that keep them."""
    owned = []
    starts = list(range(_FIRST, _LAST, _BLOCK))
    random.shuffle(starts)
    for start in starts:
        keeper = socket.socket(socket.AF_UNIX)
        try:
            keeper.bind(f"\0weir-tests-ports-{start}")
        except OSError:
            keeper.close()
            continue
        owned.append((start, keeper))
        if len(owned) == _BLOCKS_WANTED:
            return owned
    if not owned:
        raise OSError(f"all ports from {_FIRST} to {_LAST} belong to other processes of tests")
    return owned


def _in_turn():
    """Ports in a cycle: one comes back as late as it can."""
    owned = _own_blocks()
    ports = [port for start, _ in owned for port in range(start, start + _BLOCK)]
    random.shuffle(ports)
    while True:
        yield from ports


# Blocks are taken when the first port is wanted.
_ports = _in_turn()
_lock = threading.Lock()


def free_port() -> int:
    """A port nobody listens on, on any address."""
    with _lock:
        while True:
            port = next(_ports)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError:
                    continue
            return port
