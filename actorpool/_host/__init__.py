# SPDX-License-Identifier: Apache-2.0
"""The hosts: adapters to the event loops that actors live on.

`_base` is the port, `_current` finds what runs in this thread; `_bridge` joins threads and loops; `_asyncio` (with
`_asyncio_channel`) and `_trio` implement the port; `_engine` is a thread with a loop for those who have none;
`_virtual` is virtual time. asyncio and trio may be imported in here; trio only in modules named for it.
"""
