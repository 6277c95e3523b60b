# SPDX-License-Identifier: Apache-2.0
"""In which order a container's process takes what comes to it."""

from __future__ import annotations

from actorpool._backends._worker_arrivals import Arrivals
from actorpool._core._input import SUCCEEDED
from actorpool._wire._codec import encode
from actorpool._wire._messages import Answer, Cancel, Ended, Item, Message, Withdraw

VALUE = encode(None)


def test_nothing_but_an_answer_overtakes_a_message_that_is_being_read() -> None:
    arrivals = Arrivals()
    first, second, third = (Item(1, encode(x)) for x in range(3))
    end, answer = Ended(1, SUCCEEDED, VALUE), Answer(2, SUCCEEDED, VALUE)
    heard: list[Message] = []

    def hear(message: Message) -> None:
        if message is first:
            # To read it is to ask for something.
            arrivals.take([third, Cancel(4), end, answer], hear)
        heard.append(message)

    arrivals.take([Cancel(3), first, Withdraw(9), second], hear)
    assert [answer, first, second, third, end] == heard
    assert [Cancel(3), Withdraw(9), Cancel(4)] == [*arrivals.to_obey]


def test_one_that_fails_to_be_read_holds_up_nothing() -> None:
    arrivals = Arrivals()
    heard: list[Message] = []

    def hear(message: Message) -> None:
        heard.append(message)
        if len(heard) == 1:
            raise ValueError

    try:
        arrivals.take([Item(1, VALUE), Cancel(3)], hear)
    except ValueError:
        arrivals.take([Item(2, VALUE)], hear)
    assert [Item(1, VALUE), Item(2, VALUE)] == heard
    assert [Cancel(3)] == [*arrivals.to_obey]
