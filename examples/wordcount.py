# SPDX-License-Identifier: Apache-2.0
"""Checksum (SHA-256) and word count of every file below a folder.

    $ python examples/wordcount.py docs
    $ python examples/wordcount.py examples --output /dev/null

Symbolic links are not followed. Files that cannot be read are listed, and make the exit code 1. On a terminal,
rich shows a progress bar; where rich is not installed, or the output is no terminal, plain lines are printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import actorpool as modal

app = modal.App("wordcount")

CHUNK_BYTES = 1 << 20
SPACES = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True, slots=True)
class FileReport:
    path: Path
    sha256: str
    words: int
    size_bytes: int


@app.function(max_containers=4 * (os.cpu_count() or 1), scaledown_window=2)
def examine(path: Path) -> FileReport:
    """Read the file once, a piece at a time, whatever its size. A word is what stands between white space."""
    digest = hashlib.sha256()
    words = size_bytes = 0
    inside_word = False
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            words += len(chunk.split())
            # A word that goes on across the border of two pieces was counted in both.
            words -= inside_word and chunk[0] not in SPACES
            inside_word = chunk[-1] not in SPACES
            size_bytes += len(chunk)
    return FileReport(path, digest.hexdigest(), words, size_bytes)


def regular_files(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=on_error):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def with_progress(results: Iterator[FileReport], total: int) -> Iterator[FileReport]:
    """Pass the results on, and show how far they are."""
    reason = "the output is no terminal"
    if sys.stdout.isatty():
        try:
            from rich.progress import track
        except ImportError:
            reason = "rich is not installed"
        else:
            yield from track(results, "files", total=total)
            return
    print(f"{total:,} files (plain lines: {reason})")
    for done, result in enumerate(results, 1):
        if done * 5 // total > (done - 1) * 5 // total:
            print(f"{done:,} of {total:,}")
        yield result


def main() -> int:
    parser = argparse.ArgumentParser(description="Checksum and word count of every file below a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, help="write a line for each file: checksum, words, path")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder")

    begin = time.perf_counter()
    failures: list[Exception] = []
    paths = list(regular_files(options.folder, failures.append))
    words = size_bytes = 0
    contents: Counter[str] = Counter()
    with ExitStack() as stack:
        output: TextIO | None = None
        if options.output:
            # A path need not be text: write it as it is.
            output = stack.enter_context(options.output.open("w", encoding="utf-8", errors="surrogateescape"))
        stack.enter_context(app.run())
        for report in with_progress(examine.map(paths, return_exceptions=True), len(paths)):
            if isinstance(report, Exception):
                failures.append(report)
                continue
            words += report.words
            size_bytes += report.size_bytes
            contents[report.sha256] += 1
            if output:
                print(report.sha256, report.words, report.path, sep="\t", file=output)
        pool = examine.statistics()
    elapsed = time.perf_counter() - begin

    for failure in failures:
        print("not read:", failure, file=sys.stderr)
    repeated = contents.total() - len(contents)
    print(f"{contents.total():,} files, {size_bytes / 1e6:,.1f} MB, {words:,} words in {elapsed:.2f} s")
    print(f"{repeated:,} of them repeat the content of another")
    print(
        f"the pool: {pool.arrived:,} inputs, {pool.succeeded:,} succeeded, {pool.failed:,} failed; "
        f"{pool.starts} containers started, {pool.container_seconds:.2f} container-seconds"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
