# SPDX-License-Identifier: Apache-2.0
"""Backends of a container: what its slots are made of."""
