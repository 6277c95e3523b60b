# SPDX-License-Identifier: Apache-2.0
"""The pure machines: every decision of actorpool, without loop, clock, thread or randomness.

Nothing here imports asyncio, trio, threading, time or random, nor any shell. Time comes in as `now`
(seconds on the host's monotonic clock); what is to be done goes out as plain values or effects.
"""
