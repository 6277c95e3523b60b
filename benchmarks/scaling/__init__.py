# SPDX-License-Identifier: Apache-2.0
"""Scaling policies, measured: what they cost and how long inputs wait."""
