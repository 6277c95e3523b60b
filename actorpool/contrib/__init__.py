# SPDX-License-Identifier: Apache-2.0
"""Doors to other frameworks, one module each; nothing here is imported by `import actorpool`."""
