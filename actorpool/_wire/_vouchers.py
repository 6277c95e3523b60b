# SPDX-License-Identifier: Apache-2.0
"""The halves of a function call's id: "fc-" and a number, then the voucher for it, which takes a key.

Most ids are never asked for. So messages about a call may have the first half only, its *name*; a process that was
lent the key makes the id of it when it is asked for.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["NAME_LENGTH", "id_of", "voucher"]

_DIGITS: Final = 12
NAME_LENGTH: Final = len("fc-") + _DIGITS
"""How long a name is, in characters; an id is longer."""


def voucher(number: str, key: bytes) -> str:
    """Return what vouches for the number of a call, as hexadecimal digits."""
    return blake2b(number.encode(), key=key, digest_size=_DIGITS // 2).hexdigest()


def id_of(name: str, key: bytes) -> str:
    """Return the id of a call of which this is the name, or the id already."""
    return name if len(name) > NAME_LENGTH else name + voucher(name[-_DIGITS:], key)
