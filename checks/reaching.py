"""Telling a target that does not answer from a DLV that does not get there."""

from __future__ import annotations

import errno
import socket
import ssl

from checks.result import CannotLook
from connections import ladder

#: of DLV's own machine or network: nothing is known of the target
_OURS = (
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EMFILE,
    errno.ENFILE,
    errno.EACCES,
    errno.EPERM,
)
#: OpenSSL's codes of a certificate from an authority that the connection does not name: it may be good for all others
_UNTRUSTED = (18, 19, 20, 21)


def failure(e: Exception, at: str) -> tuple[str, str, str] | None:
    """(step, message, hint) of an error that says the target does not answer; None where it is none of sockets and TLS.
    :class:`CannotLook` where it is DLV's own machine or network that does not get there."""
    step, message, hint = ladder.told(e, at)
    if not message:
        return None
    for one in ladder.chain(e):
        if isinstance(one, ssl.SSLError):  # whose errno is none of the system's
            ours = isinstance(one, ssl.SSLCertVerificationError) and one.verify_code in _UNTRUSTED
        else:
            ours = isinstance(one, socket.gaierror) or (isinstance(one, OSError) and one.errno in _OURS)
        if ours:
            raise CannotLook(message, step=step, hint=hint) from None
    return step, message, hint
