# SPDX-License-Identifier: Apache-2.0
"""One sample in a process of its own: `python -m benchmarks._child WORKLOAD CONTENDER N LOOP` prints it as JSON."""

from __future__ import annotations

import json
import sys

from ._harness import take_sample
from ._registry import contenders, load


def main(workload_name: str, contender_name: str, n: str, loop: str) -> None:
    [workload] = [workload for workload in load() if workload.name == workload_name]
    [contender] = [contender for contender in contenders(workload_name) if contender.name == contender_name]
    print(json.dumps(list(take_sample(workload, contender, int(n), loop))))


if __name__ == "__main__":
    main(*sys.argv[1:])
