"""Standard output and error that never fail a command: on a full disk, a closed stream or a terminal in Latin-1.

What cannot be written is lost, and ``Output.error`` says why afterwards: the work of the command counts more. Signs
that the encoding of the stream does not have are replaced.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

_STANDARD = (0, 1, 2)


class Output(io.RawIOBase):
    """The raw end of a stream, which notes the first error instead of raising it.

    Args:
        descriptor: of the file; one that is not of a standard stream is closed with this object.
        closed: whether the stream was closed before: everything is lost.
    """

    def __init__(self, descriptor: int, *, closed: bool = False) -> None:
        super().__init__()
        self._descriptor, self._was_closed = descriptor, closed
        self.error: OSError | None = None
        """Why something was lost; None if nothing was."""

    def write(self, data: object) -> int:
        """Write all of ``data``; return its length in any case."""
        rest = memoryview(data).cast("B")  # type: ignore[arg-type]
        length = len(rest)
        while rest and self.error is None:
            try:
                if self._was_closed:
                    raise OSError(errno.EBADF, "it is closed")
                rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                self.error = error
        return length

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return not self._was_closed and os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Flush, and close a descriptor that is not standard."""
        if not self.closed and self._descriptor not in _STANDARD:
            os.close(self._descriptor)
        super().close()


def text_stream(output: Output, like: TextIO | None, *, by_line: bool) -> TextIO:
    """Return a text stream on ``output`` with the encoding of another; ``by_line``: written at the end of each line."""
    encoding = getattr(like, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(output), encoding=encoding, errors="replace", line_buffering=by_line)


def install() -> Output | None:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that never fail; return the end of standard output.

    None if somebody else has replaced standard output already: a test, or a notebook.
    """
    if sys.stdout is not sys.__stdout__:
        return None
    _occupy()
    out = Output(1, closed=sys.stdout is None)
    err = Output(2, closed=sys.stderr is None)
    sys.stdout = text_stream(out, sys.stdout, by_line=out.isatty())
    if sys.stderr is sys.__stderr__:
        sys.stderr = text_stream(err, sys.stderr, by_line=True)
    return out


def _occupy() -> None:
    """Open the null device at each standard descriptor that is closed.

    Otherwise the next file that is opened would be there, and receive what libraries print.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
