"""Where a command's outcome goes: to a file or s3:// address, or to standard output."""

from __future__ import annotations

import sys


def write_out(content: bytes, output: str | None, for_people: bool) -> None:
    """Write UTF-8 content to ``output``; None: to standard output, for people in the terminal's own encoding."""
    if output is not None:
        from fasray.storage import write_bytes

        write_bytes(output, content)
    elif for_people:
        sys.stdout.write(content.decode())
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
