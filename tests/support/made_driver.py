"""A driver in a process of its own, with lock and log but without trials: ``made_driver.py RUN EVENTS FIRST LAST``.

It takes the run, writes these lines of a file of events, says so, and then waits to be killed; if they are the last
ones, it lets go of the run.
"""

import signal
import sys
from pathlib import Path

from fasray.runs.events import EVENTS
from fasray.runs.ledger import Ledger
from fasray.runs.record import read_head


def main(run: str, file: str, first: int, last: int) -> None:
    lines, head = Path(file).read_bytes().splitlines(), read_head(run)
    with Ledger(run, head.spec, head.data) as ledger:
        ledger.opened()
        for line in lines[first:last]:
            ledger.append(EVENTS.validate_json(line))
        print("written", flush=True)
        if last < len(lines):
            signal.pause()
        ledger.closed("complete")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
