# SPDX-License-Identifier: Apache-2.0
"""Classes: state that is set up once for each container, and a pool for each set of parameters.

$ actorpool run examples/classes.py
"""

from __future__ import annotations

import sqlite3

import actorpool as modal

app = modal.App("my-app")


@app.cls(max_containers=3)
class Dictionary:
    language: str = modal.parameter(default="en")

    @modal.enter()
    def open(self) -> None:
        # Enter hooks, inputs and exit hooks of a one-slot container share a thread, as sqlite3 demands.
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table words (word text primary key, entry text)")
        greeting = {"en": "a greeting", "de": "ein Gruß"}[self.language]
        self.database.execute("insert into words values ('hello', ?)", [greeting])

    @modal.method()
    def look_up(self, word: str) -> str | None:
        row = self.database.execute("select entry from words where word = ?", [word]).fetchone()
        return row[0] if row else None

    @modal.method()
    def size(self) -> int:
        return int(self.database.execute("select count(*) from words").fetchone()[0])

    @modal.exit()
    def close(self) -> None:
        self.database.close()
        print(f"a container for {self.language!r} has closed its database")


@app.local_entrypoint()
def main() -> None:
    english = Dictionary()
    german = Dictionary(language="de")  # type: ignore[call-arg]  # for mypy; pyright knows parameters
    print(english.look_up.remote("hello"), "|", german.look_up.remote("hello"))
    print(list(english.look_up.map(["hello", "goodbye"])), english.size.remote())

    # Each parameter set has a pool of its own, and so settings of its own. To a type checker the handle is
    # the class itself, which has no such attribute.
    print("de:", german.update_autoscaler(buffer_containers=1))  # type: ignore[attr-defined]
    print("en:", english.look_up.statistics().settings)
