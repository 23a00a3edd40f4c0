"""How to reach a system: kinds and their fields, secrets, the guard of outgoing addresses, test connection."""
