# SPDX-License-Identifier: Apache-2.0
"""The id of a call, made in one go or from the half of it that a message had."""

from __future__ import annotations

from actorpool._actors._identity import call_id_of, call_name_of, is_genuine, lend_ids
from actorpool._core._input import Input
from actorpool._wire._vouchers import NAME_LENGTH, id_of


def test_whoever_has_the_key_makes_the_same_id_of_a_name() -> None:
    key, _ = lend_ids()
    input = Input("f", (), None, None)
    name = call_name_of(input)
    assert NAME_LENGTH == len(name)
    call_id = call_id_of(input)
    assert (call_id, True) == (id_of(name, key), is_genuine(call_id))


def test_an_id_that_is_known_is_said_and_stays_as_it_is() -> None:
    key, _ = lend_ids()
    input = Input("f", (), None, None)
    call_id = call_id_of(input)
    assert call_id == call_name_of(input) == id_of(call_id, key)


def test_names_of_different_calls_differ() -> None:
    assert 100 == len({call_name_of(Input("f", (), None, None)) for _ in range(100)})
