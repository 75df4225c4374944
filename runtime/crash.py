"""Named points at which a test may kill this process, to prove that nothing is lost there.

`TRAINYARD_CRASH_AT=put-sent invoke submit …` ends the process at that point as `kill -9` would. The points of a
submission, in order: intent, snapshot, environment, uploaded, put-sent, acknowledged. Of a driver and the next attempt:
driver-leased, driver-started, attempt-intent, attempt-sending, attempt-put-sent, attempt-acknowledged.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "TRAINYARD_CRASH_AT"


def point(name: str) -> None:
    """Die here, at once and without cleaning up, when the environment asks for it."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
