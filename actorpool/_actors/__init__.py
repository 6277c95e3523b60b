# SPDX-License-Identifier: Apache-2.0
"""The actors: shells around the pure machines, written once against the host port.

Each function is a supervisor that owns a nursery of containers and an autoscaler; a scheduler per app
fires its schedules. They talk over memory channels and hold no policy: what to do is the answer of a
machine in `_core`.
"""
