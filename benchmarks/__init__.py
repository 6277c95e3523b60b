# SPDX-License-Identifier: Apache-2.0
"""What actorpool costs, beside its peers and beside the least that Python can do: `python -m benchmarks`.

A workload says what is done and how it is measured (`_measures`); a contender is a few lines that do it
(`workloads`, one module per group; a file dropped in there is found). The harness takes one sample of each
contender in turn, round after round, so that whatever else the machine does meanwhile meets all of them.
"""
