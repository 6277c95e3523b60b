# SPDX-License-Identifier: Apache-2.0
"""Scaling policies compared in simulated time: cost, waiting and starts, against the plain reading of the guide."""
