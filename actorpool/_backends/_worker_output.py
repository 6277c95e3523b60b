# SPDX-License-Identifier: Apache-2.0
"""What process containers print and log, as it comes out in the parent: whole lines that name their container.

A record that was logged in a container is handled by the parent's logger of the same name, as if it had been logged
here, with `record.container` as the container's id. A printed line goes to logger `actorpool.output`; where nobody
has configured logging for that, it is written to the stream it was meant for.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final, cast

from actorpool._wire._codec import decode
from actorpool._wire._faults import WireError

if TYPE_CHECKING:
    from actorpool._wire._blobs import Payload

__all__ = ["forward_line", "forward_record", "logger_levels"]

logger = logging.getLogger("actorpool")
output = logging.getLogger("actorpool.output")

_STDERR: Final = 2


def logger_levels() -> dict[str, int]:
    """Return {name of a logger: its level}, where one is set now; a container logs at these from its start on."""
    levels = {"": logging.getLogger().level}
    for name, known in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(known, logging.Logger) and known.level:
            levels[name] = known.level
    return levels


def forward_line(container: str, stream: int, line: str) -> None:
    """Say what container `container` has printed."""
    if output.hasHandlers():
        if output.isEnabledFor(logging.INFO):
            output.info("[%s] %s", container, line, extra={"container": container})
        return
    out = sys.stderr if stream == _STDERR else sys.stdout
    if out is not None:
        print(f"[{container}] {line}", file=out, flush=True)


def forward_record(container: str, fields: Payload) -> None:
    """Handle a record of container `container`."""
    try:
        record = logging.makeLogRecord(cast("dict[str, Any]", decode(fields)))
    except WireError as error:
        logger.warning("a log record of container %s cannot be read: %s", container, error)
        return
    record.container = container
    target = logging.getLogger(record.name)
    if target.isEnabledFor(record.levelno):
        target.handle(record)
