# SPDX-License-Identifier: Apache-2.0
"""Actors and what they are made of, for your own programs: the building blocks of actorpool itself.

* `open_nursery`, `open_memory_channel`: structured tasks and the pipes between them, with trio's semantics;
* `Slots`: permits whose number may change while they are in use;
* `Mailbox`: an actor's inbound channel, open to every thread;
* `Actor`: one task that handles one message at a time; `Address`: where its messages go, across restarts;
* `Supervisor`: starts children, and restarts them when they fail.

All of them work on asyncio and on trio: they use the event loop that runs where they are used. Nothing here
knows of apps, functions or containers.
"""

from __future__ import annotations

from actorpool._core._supervision import Backoff as Backoff
from actorpool._core._supervision import ChildState as ChildState
from actorpool._core._supervision import RestartIntensity as RestartIntensity
from actorpool._core._supervision import RestartRule as RestartRule
from actorpool._core._supervision import Strategy as Strategy
from actorpool._host._base import ChannelStatistics as ChannelStatistics
from actorpool._host._base import Nursery as Nursery
from actorpool._host._base import ReceiveChannel as ReceiveChannel
from actorpool._host._base import SendChannel as SendChannel
from actorpool._host._errors import BrokenResourceError as BrokenResourceError
from actorpool._host._errors import ClosedResourceError as ClosedResourceError
from actorpool._host._errors import EndOfChannel as EndOfChannel
from actorpool._host._errors import HostClosedError as HostClosedError
from actorpool._host._errors import HostNotRunningError as HostNotRunningError
from actorpool._host._errors import WouldBlock as WouldBlock
from actorpool.primitives._actor import Actor as Actor
from actorpool.primitives._actor import ActorStatistics as ActorStatistics
from actorpool.primitives._actor import Address as Address
from actorpool.primitives._actor import Letter as Letter
from actorpool.primitives._mailbox import Mailbox as Mailbox
from actorpool.primitives._mailbox import MailboxStatistics as MailboxStatistics
from actorpool.primitives._slots import Slots as Slots
from actorpool.primitives._slots import SlotsStatistics as SlotsStatistics
from actorpool.primitives._supervisor import ChildSpec as ChildSpec
from actorpool.primitives._supervisor import ChildStatistics as ChildStatistics
from actorpool.primitives._supervisor import RestartIntensityError as RestartIntensityError
from actorpool.primitives._supervisor import Supervisor as Supervisor
from actorpool.primitives._supervisor import SupervisorStatistics as SupervisorStatistics
from actorpool.primitives._tasks import open_memory_channel as open_memory_channel
from actorpool.primitives._tasks import open_nursery as open_nursery

__all__ = [
    "open_nursery",
    "open_memory_channel",
    "Nursery",
    "SendChannel",
    "ReceiveChannel",
    "ChannelStatistics",
    "Slots",
    "SlotsStatistics",
    "Mailbox",
    "MailboxStatistics",
    "Actor",
    "ActorStatistics",
    "Address",
    "Letter",
    "Supervisor",
    "SupervisorStatistics",
    "ChildSpec",
    "ChildState",
    "ChildStatistics",
    "RestartRule",
    "Strategy",
    "RestartIntensity",
    "Backoff",
    "RestartIntensityError",
    "EndOfChannel",
    "ClosedResourceError",
    "BrokenResourceError",
    "WouldBlock",
    "HostClosedError",
    "HostNotRunningError",
]
