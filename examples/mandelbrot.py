# SPDX-License-Identifier: Apache-2.0
"""Renders the Mandelbrot set as a PNG, tile by tile: in threads of this process, then in processes of their own.

    $ actorpool run examples/mandelbrot.py --width 240 --height 160 --out mandelbrot.png

Pure Python that computes holds the interpreter's lock, so threads share one processor; processes have one each. The
two pictures are the same to the byte; the times are printed side by side.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import actorpool as modal

app = modal.App("mandelbrot")

# Top left and bottom right corner of the picture.
LEFT, TOP, RIGHT, BOTTOM = -2.2, -1.2, 1.0, 1.2
DEPTH = 200


@app.function()
def render(top: int, rows: int, width: int, height: int) -> bytes:
    """Return `rows` rows of grey pixels from row `top` on, each after a PNG's filter byte."""
    pixels = bytearray()
    for y in range(top, top + rows):
        pixels.append(0)
        for x in range(width):
            c = complex(LEFT + (RIGHT - LEFT) * x / width, TOP + (BOTTOM - TOP) * y / height)
            pixels.append(255 - _escape(c) * 255 // DEPTH)
    return bytes(pixels)


def _escape(c: complex) -> int:
    z = 0j
    for step in range(DEPTH):
        z = z * z + c
        if abs(z) > 2:
            return step
    return DEPTH


@app.local_entrypoint()
def main(width: int = 480, height: int = 320, tile: int = 16, out: str = "mandelbrot.png") -> None:
    tiles = [(top, min(tile, height - top), width, height) for top in range(0, height, tile)]
    pictures: list[bytes] = []
    times: dict[str, float] = {}
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for backend in ("local", "process"):
        variant = render.with_options(backend=backend, max_containers=workers)
        # The containers of either are there before the clock starts.
        list(variant.starmap([(0, 1, 1, 1)] * workers))
        began_at = time.perf_counter()
        pictures.append(b"".join(variant.starmap(tiles)))
        times[backend] = time.perf_counter() - began_at
        print(f"{backend:8}{times[backend]:8.2f} s")
    assert pictures[0] == pictures[1]
    print(f"speed-up{times['local'] / times['process']:8.1f} x on {workers} processors")
    Path(out).write_bytes(png(pictures[0], width, height))


def png(rows: bytes, width: int, height: int) -> bytes:
    """Return a PNG file of eight-bit grey pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
