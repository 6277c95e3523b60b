# SPDX-License-Identifier: Apache-2.0
"""The parts of the command line: what FILE::NAME means, options from annotations, signals, tracebacks."""
