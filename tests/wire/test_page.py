# SPDX-License-Identifier: Apache-2.0
"""The page about the wire lists every message, field and extension type as it is."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import fields

from actorpool._wire import _messages, _natives
from actorpool._wire._messages import Message
from tests.wire.values import ALL_MESSAGES

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"
_ROW = re.compile(r"^\| (\d+) \| (.*?) \| (.*?) ?\|$", re.MULTILINE)


def test_the_page_lists_every_message_with_its_fields() -> None:
    shown = {
        (int(kind), name, text) for kind, name, text in _ROW.findall(PAGE.read_text("utf-8")) if "`" in name
    }

    assert {(one.KIND, f"`{type(one).__name__}`", _fields(type(one))) for one in ALL_MESSAGES} == shown


def test_the_page_lists_every_extension() -> None:
    text = PAGE.read_text("utf-8")
    shown = {int(code) for code, name, _ in _ROW.findall(text) if "`" not in name}

    references = {_natives.PICKLED, _natives.BLOB_BYTES, _natives.BLOB_MAP}
    assert {*_natives.TAG, *_natives.READERS, *references} == shown


def test_the_page_is_of_this_version() -> None:
    assert f"version {_messages.VERSION}." in PAGE.read_text("utf-8")


def _fields(kind: type[Message]) -> str:
    words = []
    for field in fields(kind):
        name, _, optional = str(field.type).partition(" | ")
        words.append(f"{field.name} {name.lower()}{'?' if optional else ''}")
    return ", ".join(words)
