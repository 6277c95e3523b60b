# SPDX-License-Identifier: Apache-2.0
"""The hosts: adapters to the event loops that actors live on.

`_base` is the port and finds what runs in this thread; `_bridge` joins threads and loops; `_asyncio` (with
`_asyncio_channel`) and `_trio` implement the port; `_engine` is a thread with a loop for those who have none;
`_virtual` is virtual time. asyncio and trio may be imported in here; trio only in modules named for it.
"""

from __future__ import annotations

from ._base import Bridge as Bridge
from ._base import BrokenResourceError as BrokenResourceError
from ._base import CancelScope as CancelScope
from ._base import ChannelStatistics as ChannelStatistics
from ._base import ClosedResourceError as ClosedResourceError
from ._base import EndOfChannel as EndOfChannel
from ._base import Event as Event
from ._base import FeederHandle as FeederHandle
from ._base import Host as Host
from ._base import HostClosedError as HostClosedError
from ._base import HostNotRunningError as HostNotRunningError
from ._base import Nursery as Nursery
from ._base import ReceiveChannel as ReceiveChannel
from ._base import RootHandle as RootHandle
from ._base import SendChannel as SendChannel
from ._base import Signal as Signal
from ._base import TimerHandle as TimerHandle
from ._base import Waiter as Waiter
from ._base import WouldBlock as WouldBlock
from ._base import current_bridge as current_bridge
from ._base import current_host as current_host
from ._bridge import ThreadSignal as ThreadSignal
from ._bridge import ThreadWaiter as ThreadWaiter
