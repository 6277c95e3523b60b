# SPDX-License-Identifier: Apache-2.0
"""actorpool: a decorator makes a function an autoscaled pool of containers, inside your own process.

Map of the package, from the bottom up:

* `_core`: the pure machines, where every decision is taken
* `_host`, `primitives`: the event loop's adapter; nurseries, memory channels, actors
* `_backends`: what a container's slots are made of
* `_actors`: supervisor, container, autoscaler, scheduler
* `app`, `function`, `cls`, `call`, `schedule`, `retries`, `exception`: what users import, from here
* `cli`, `testing`: doors that are opened when needed

PYTEST_DONT_REWRITE: else pytest warns whoever imports this package before it runs, because there is a plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from . import exception as exception
from ._batched import batched as batched
from ._core._config import AutoscalerSettings as AutoscalerSettings
from ._core._config import Limits as Limits
from ._core._config import Recycle as Recycle
from ._marks import concurrent as concurrent
from ._method import enter as enter
from ._method import exit as exit  # noqa: A004 - the name users know
from ._method import method as method
from ._method import parameter as parameter
from ._output import enable_output as enable_output
from ._version import __version__ as __version__
from .app import App as App
from .app import LocalEntrypoint as LocalEntrypoint
from .call import FunctionCall as FunctionCall
from .cls import Cls as Cls
from .cls import Obj as Obj
from .context import current_container_id as current_container_id
from .context import current_function_call_id as current_function_call_id
from .context import current_input_id as current_input_id
from .context import is_local as is_local
from .exception import Error as Error
from .function import Function as Function
from .function import FunctionStatistics as FunctionStatistics
from .function import FunctionStats as FunctionStats
from .retries import Retries as Retries

if TYPE_CHECKING:
    from ._core._adaptive import AdaptivePolicy as AdaptivePolicy
    from ._core._scaling import Decision as Decision
    from ._core._scaling import ScalingPolicy as ScalingPolicy
    from ._core._scaling import ScalingRecord as ScalingRecord
    from ._core._scaling import Snapshot as Snapshot
    from ._core._scaling import WindowPolicy as WindowPolicy
    from .schedule import Cron as Cron
    from .schedule import Period as Period

__all__ = [
    "AdaptivePolicy",
    "App",
    "AutoscalerSettings",
    "Cls",
    "Cron",
    "Decision",
    "Error",
    "Function",
    "FunctionCall",
    "FunctionStatistics",
    "FunctionStats",
    "Limits",
    "Recycle",
    "LocalEntrypoint",
    "Obj",
    "Period",
    "Retries",
    "ScalingPolicy",
    "ScalingRecord",
    "Snapshot",
    "WindowPolicy",
    "__version__",
    "batched",
    "concurrent",
    "current_container_id",
    "current_function_call_id",
    "current_input_id",
    "enable_output",
    "enter",
    "exception",
    "exit",
    "is_local",
    "method",
    "parameter",
]

# {name: its module}: what few programs want is imported when somebody asks for it.
_ON_DEMAND: Final = {
    "AdaptivePolicy": "._core._adaptive",
    "Cron": ".schedule",
    "Decision": "._core._scaling",
    "Period": ".schedule",
    "ScalingPolicy": "._core._scaling",
    "ScalingRecord": "._core._scaling",
    "Snapshot": "._core._scaling",
    "WindowPolicy": "._core._scaling",
}


def __getattr__(name: str) -> Any:
    if name in ("call_graph", "schedule"):
        return import_module(f".{name}", __name__)
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept, so that it is asked for once.
    found = globals()[name] = getattr(import_module(_ON_DEMAND[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
