"""Passwords: Argon2id, one-time passwords, and what a password must be."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from errors import Invalid

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
#: a hash nobody has the password of: signing in as nobody then takes as long as signing in as somebody
_NOBODY = _hasher.hash(secrets.token_urlsafe(32))

SHORTEST, LONGEST = 10, 200


def hashed(password: str) -> str:
    return _hasher.hash(password)


def matches(password: str, hash_: str | None) -> bool:
    """Does the same work whether or not there is a hash to compare with."""
    try:
        right = _hasher.verify(hash_ or _NOBODY, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return right and hash_ is not None


def outdated(hash_: str) -> bool:
    """Made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(hash_)


def one_time() -> str:
    """A random password for the first sign-in, easy to type: five groups of four letters and digits (98 bits)."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))


def check_new(password: str, username: str, field: str = "new_password") -> None:
    """Raise :class:`errors.Invalid` that says what is wrong with a password somebody chose."""
    if len(password) < SHORTEST:
        raise Invalid(
            f"the password is shorter than {SHORTEST} characters",
            field=field,
            hint="a few words in a row do well",
        )
    if len(password) > LONGEST:
        raise Invalid(f"the password is longer than {LONGEST} characters", field=field)
    if username.lower() in password.lower() or len(set(password)) < 5:
        raise Invalid("the password is too easy to guess", field=field, hint="leave the username out of it")
