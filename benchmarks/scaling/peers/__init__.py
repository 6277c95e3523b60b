# SPDX-License-Identifier: Apache-2.0
"""What other systems and papers do, as scaling policies: written from their descriptions, with their parameters.

They run inside the user's contract like any policy: the pool holds minimum, maximum and window whatever they say.
`default` is with published defaults, `tuned` with the time constants of a pool inside a process. Where a system counts
in requests per replica, the pool's `target_inputs` is its target.
"""

from __future__ import annotations

from typing import Final

from actorpool._core._scaling import ScalingPolicy

from ._autoscalers import Dask, Hpa, Knative, RayServe
from ._serverless import FixedIdle, HybridHistogram, PlainReading, SquareRoot

__all__ = [
    "PEERS",
    "Dask",
    "FixedIdle",
    "HybridHistogram",
    "Hpa",
    "Knative",
    "PlainReading",
    "RayServe",
    "SquareRoot",
]

PEERS: Final[dict[str, ScalingPolicy]] = {
    "Knative, default": Knative(),
    "Knative, tuned": Knative(stable_s=15.0, panic_share=0.2, utilization=0.9, tick_s=1.0, grace_s=5.0),
    "Ray Serve, default": RayServe(),
    "Ray Serve, tuned": RayServe(up_delay_s=0.0, down_delay_s=20.0, look_back_s=2.0),
    "Dask adaptive": Dask(),
    "KEDA/HPA, default": Hpa(),
    "KEDA/HPA, tuned": Hpa(sync_s=1.0, polling_s=1.0, stabilization_s=30.0, cooldown_s=30.0),
    "Lambda, fixed idle": FixedIdle(600.0),
    "hybrid histogram, full": HybridHistogram(),
    "hybrid histogram, window": HybridHistogram(bin_s=1.0, bins=60),
    "square root, predictive": SquareRoot(),
}
"""Each pool gets a copy."""
