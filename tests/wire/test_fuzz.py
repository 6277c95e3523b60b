# SPDX-License-Identifier: Apache-2.0
"""Broken frames give typed errors, at once, within bounded memory. `python -m tests.wire.fuzz` sends a million."""

from __future__ import annotations

import pytest

from actorpool._wire._faults import WireError
from tests.wire.fuzz import fuzz


@pytest.mark.parametrize("seed", range(4))
def test_a_broken_peer_causes_errors_and_nothing_else(seed: int) -> None:
    found = fuzz(1_000, seed)

    assert 1_000 == found.frames
    assert found.messages > 100
    assert {"WireError", "ConnectionClosed"} == {text.partition(":")[0] for text in found.errors}
    assert found.grown_bytes < 64 << 20


def test_an_error_of_any_other_type_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise KeyError("a bug")

    monkeypatch.setattr("actorpool._wire._connection.unpack_next", broken)

    with pytest.raises(KeyError):
        fuzz(1_000, 0)
    assert not issubclass(KeyError, WireError)
