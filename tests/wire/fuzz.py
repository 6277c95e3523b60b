# SPDX-License-Identifier: Apache-2.0
"""Frames as a broken peer would send them: truncated, oversized, garbled and plain garbage.

    python -m tests.wire.fuzz --frames 1000000 [--seed 0]

sends that many through connections, and prints how many messages and errors came out of them, the seconds, and by
how much the memory of the process has grown at its peak. Whatever passes as a message has its payloads decoded too,
if there is no pickle in them: a pickle of a stranger's making is out of the protocol's bounds.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from attrs import define, evolve, field

from actorpool._wire._blobs import Payload
from actorpool._wire._bodies import pack
from actorpool._wire._codec import decode, encode
from actorpool._wire._connection import Connection
from actorpool._wire._faults import WireError
from actorpool._wire._messages import Answer, Ended, Item, Message
from tests.wire.values import MESSAGES, socket_pair

MAX_FRAME = 1 << 16
_HEADERS = bytes([0x81, 0x91, 0xC4, 0xC6, 0xC7, 0xC9, 0xCF, 0xD4, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF])
_VALUES = [
    encode(value).data
    for value in (
        (1, {2: "x"}),
        {"set": {1, (2, 3)}, "d": Decimal(1)},
        [bytearray(b"b"), 1 << 70],
        "text" * 20,
    )
]


@define
class Found:
    """What became of the frames."""

    frames: int = 0
    messages: int = 0
    values: int = 0
    errors: Counter[str] = field(factory=Counter)
    seconds: float = 0.0
    grown_bytes: int = 0


def fuzz(frames: int, seed: int) -> Found:
    """Send frames until that many were sent; each connection lives until its first error."""
    chance = random.Random(seed)
    found = Found()
    begin, memory = time.monotonic(), _peak_bytes()
    while found.frames < frames:
        _one_connection(chance, found, frames)
    found.seconds, found.grown_bytes = time.monotonic() - begin, _peak_bytes() - memory
    return found


def _one_connection(chance: random.Random, found: Found, frames: int) -> None:
    sock, end = socket_pair()
    connection = Connection(end, lambda: None, max_frame=MAX_FRAME)
    try:
        while found.frames < frames:
            with contextlib.suppress(OSError):
                # Where the connection was shut down for garbage after a message, the next read will tell.
                sock.sendall(_frame(chance))
                found.frames += 1
            # Now and then the peer dies in the middle of what it says.
            if chance.random() < 0.05:
                sock.close()
            _look_at(connection.read(), found)
    except WireError as error:
        found.errors[f"{type(error).__name__}: {_kind_of(str(error))}"] += 1
    finally:
        sock.close()
        connection.close()


def _look_at(messages: list[Message], found: Found) -> None:
    for message in messages:
        found.messages += 1
        for name in ("code", "arguments", "context", "value", "error", "fields", "parameters"):
            payload = getattr(message, name, None)
            if payload is None or payload.data.startswith(b"\x94\xc7\x00"):
                continue
            try:
                decode(payload)
                found.values += 1
            except WireError as error:
                found.errors[f"{type(error).__name__}: {_kind_of(str(error))}"] += 1


def _kind_of(text: str) -> str:
    """The part of an error's text that does not depend on the frame."""
    return " ".join(
        word for word in text.split(":", maxsplit=1)[0].split() if not any(map(str.isdigit, word))
    )[:60]


def _frame(chance: random.Random) -> bytes:
    return chance.choice(_KINDS)(chance)


def _sound_body(chance: random.Random) -> bytes:
    message = chance.choice(MESSAGES)
    if isinstance(message, Answer | Ended | Item):
        message = evolve(message, value=_payload(chance))
    return pack(message)[0]


def _payload(chance: random.Random) -> Payload:
    data = bytearray(chance.choice(_VALUES))
    if chance.random() < 0.5:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return Payload(bytes(data))


def _sound(chance: random.Random) -> bytes:
    return _framed(_sound_body(chance))


def _garbled(chance: random.Random) -> bytes:
    body = bytearray(_sound_body(chance))
    for _ in range(chance.randrange(1, 4)):
        body[chance.randrange(len(body))] = (
            chance.choice(_HEADERS) if chance.random() < 0.5 else chance.randrange(256)
        )
    return _framed(bytes(body))


def _truncated(chance: random.Random) -> bytes:
    body = _sound_body(chance)
    return _framed(body[: chance.randrange(len(body))])


def _too_short(chance: random.Random) -> bytes:
    frame = _sound(chance)
    return frame[: chance.randrange(1, len(frame))]


def _oversized(chance: random.Random) -> bytes:
    return chance.randrange(MAX_FRAME + 1, 1 << 32).to_bytes(4, "big") + chance.randbytes(8)


def _garbage(chance: random.Random) -> bytes:
    return _framed(chance.randbytes(chance.randrange(200)))


def _nested(chance: random.Random) -> bytes:
    return _framed(bytes([chance.choice(_HEADERS)]) * chance.randrange(2_000))


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


_KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *[_sound] * 6,
    *[_garbled] * 4,
    _truncated,
    _too_short,
    _oversized,
    _garbage,
    _nested,
)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Send broken frames through connections.")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = fuzz(arguments.frames, arguments.seed)
    print(f"{found.frames} frames: {found.messages} messages, {found.values} values")
    types: Counter[str] = Counter()
    for text, count in found.errors.items():
        types[text.partition(":")[0]] += count
    print(*(f"{count} {name}" for name, count in types.most_common()), sep=", ")
    for text, count in found.errors.most_common():
        print(f"{count:9d}  {text}")
    print(f"{found.seconds:.1f} s, peak memory grew by {found.grown_bytes / (1 << 20):.1f} MiB")


if __name__ == "__main__":
    main()
