"""How to reach a system: kinds and their fields, secrets, the guard of outgoing addresses, test connection."""

from connections.opening import open_link

__all__ = ["open_link"]
