# SPDX-License-Identifier: Apache-2.0
"""What the process containers of one pool have in common, and what those of one app have: the template."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from actorpool._core._input import FAILED, SUCCEEDED
from actorpool._wire._codec import decode, encode
from actorpool._wire._errors import decode_error
from actorpool._wire._faults import WireError
from actorpool._wire._messages import VERSION, Run, Runs, Start
from actorpool.exception import ExecutionError

from ._code import modules_of, pack_workload
from ._inside import in_template
from ._template_client import Template
from ._template_messages import Preload
from ._worker_output import logger_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actorpool._core._config import Recycle
    from actorpool._core._input import Input
    from actorpool._host._base import Host
    from actorpool._host._stream import Stream
    from actorpool._wire._blobs import Payload
    from actorpool._wire._messages import Ended, Message

    from ._sent_ahead import SentAhead
    from ._workload import Workload

__all__ = ["ProcessPool", "Served", "Templates", "outcome_of"]


class Served(Protocol):
    """The calls that code in one container makes of this process's functions; host thread only."""

    def receive(self, message: Message) -> bool:
        """Take a message of the container; return whether it is about calls."""
        ...

    def interrupted(self, caller: Input) -> None:
        """Hear that an input is interrupted there: synchronous code does not wait for its calls any more."""
        ...

    def close(self) -> None:
        """End it: the container is gone, and nobody waits for its calls. Idempotent."""
        ...


class Templates:
    """The template of one running app: made when it is needed, and again if it has ended. Host thread only."""

    __slots__ = ("_closed", "_host", "_modules", "_past", "_template")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._template: Template | None = None
        # Those that are gone and were not seen to have ended yet.
        self._past: list[Template] = []
        self._modules: set[str] = set()
        self._closed = False

    def get(self, modules: tuple[str, ...]) -> Template:
        """Return the template, which has imported `modules` by the time it forks.

        Raises:
            ExecutionError: If this process is a template itself, or the app is being closed.
        """
        if in_template():
            raise ExecutionError(
                "a module that is imported for process containers runs an app with such containers; put what "
                "runs it under `if __name__ == '__main__':`"
            )
        if self._closed:
            raise ExecutionError("the app is closing: it makes no further process container")
        template = self._template
        fresh = template is None or template.closed
        if template is None or template.closed:
            self._past = [past for past in (*self._past, template) if past is not None and not past.ended]
            template = self._template = Template(self._host)
            self._modules.clear()
        missing = tuple(module for module in modules if module not in self._modules)
        # A fresh one is told where to find modules in any case.
        if missing or fresh:
            self._modules.update(missing)
            template.preload(Preload(missing, tuple(sys.path), tuple(sys.argv), os.getcwd()))
        return template

    async def close(self) -> None:
        """End the template, and wait until it has; its containers have stopped."""
        self._closed = True
        for template in (*self._past, self._template):
            if template is not None:
                await template.close()

    def abandon(self) -> None:
        """End it and all its containers without the loop, which is gone. Threads: any."""
        self._closed = True
        for template in (*self._past, self._template):
            if template is not None:
                template.abandon()


class ProcessPool:
    """What the process containers of one pool share."""

    __slots__ = (
        "_block_warning_s",
        "_numbers",
        "_packed",
        "_templates",
        "ahead",
        "call_name_of",
        "lend_ids",
        "looks_ahead",
        "max_memory",
        "serve",
        "workload",
    )

    def __init__(
        self,
        workload: Workload,
        templates: Callable[[], Templates],
        call_name_of: Callable[[Input], str],
        lend_ids: Callable[[], tuple[bytes, int]],
        serve: Callable[[Callable[[Message], None], Mapping[int, Input]], Served],
        block_warning_s: float | None,
        recycle: Recycle,
    ) -> None:
        self.max_memory: int | None = None if recycle.memory_mib is None else recycle.memory_mib * 2**20
        """Bytes of memory above which a container is replaced; None for any number."""
        self.workload: Workload = workload
        self.call_name_of: Callable[[Input], str] = call_name_of
        """Returns the name of the call that an input belongs to: its id, or what its key makes the id from."""
        self.lend_ids: Callable[[], tuple[bytes, int]] = lend_ids
        """Returns what a container makes ids of calls from."""
        self.serve: Callable[[Callable[[Message], None], Mapping[int, Input]], Served] = serve
        """Serves the calls of one container: given what sends it messages, and the inputs it runs by number."""
        self.looks_ahead: bool = all(
            not target.is_async and not target.is_generator for target in workload.targets
        )
        """Whether inputs may be sent ahead: only what runs in threads begins in the order in which it was sent."""
        self.ahead: dict[SentAhead, None] = {}
        """What was sent ahead to its containers; of some all may have begun since."""
        self._templates = templates
        self._block_warning_s = block_warning_s
        self._numbers = {target: number for number, target in enumerate(workload.targets)}
        self._packed: bytes | None = None

    def template(self) -> Template:
        """Return what forks this pool's containers; see `Templates.get`."""
        return self._templates().get(modules_of(self.workload))

    def run_message(
        self, number: int, input: Input, arguments: Payload, context: Payload | None, stream: Stream | None
    ) -> Run:
        """Return the message that has a container run `input`, which it calls by that number."""
        return Run(
            number,
            self._numbers[input.target],
            arguments,
            context,
            self.call_name_of(input),
            input.index,
            input.attempt,
            None if stream is None else stream.bound,
        )

    def runs_message(self, number: int, input: Input, arguments: Payload, context: Payload | None) -> Runs:
        """Return the message that has a container run `input` and those that follow it, from that number on."""
        return Runs(
            number,
            self._numbers[input.target],
            arguments,
            context,
            self.call_name_of(input),
            input.index,
            input.attempt,
        )

    def start_message(self, name: str, grace_s: float) -> Start:
        """Return the first message to container `name`.

        Raises:
            InvalidError: If the code cannot be sent to another process.
        """
        if self._packed is None:
            self._packed = pack_workload(self.workload)
        code = encode(self._packed)
        return Start(
            VERSION,
            name,
            code,
            self.workload.max_inputs,
            grace_s,
            self._block_warning_s,
            encode(self.lend_ids()),
            encode(logger_levels()),
        )


def outcome_of(message: Ended) -> tuple[int, Any]:
    """Return the final state of an input, and its result or error."""
    if message.state != SUCCEEDED:
        return message.state, decode_error(message.value)
    try:
        return SUCCEEDED, decode(message.value)
    except WireError as error:
        return FAILED, error
