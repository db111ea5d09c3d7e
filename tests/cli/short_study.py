"""`python reproduce.py` with three short runs in place of the planned ones.

    [STOP_WITH=SIGNAL] python tests/cli/short_study.py WORDS...

With STOP_WITH the study is stopped right after it wrote its first record: SIGKILL is sent to
this process, SIGINT to its process group, as a terminal does for Ctrl-C.
"""

import os
import signal
import sys

from stock_rnn.cli.reproduce import main
from stock_rnn.study import plan, records
from tests.study.cases import SHORT_STUDY


def save_and_stop(path, record, save=records.save):
    save(path, record)
    if os.environ["STOP_WITH"] == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    os.killpg(os.getpgrp(), signal.SIGINT)


if __name__ == "__main__":
    # A shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    plan.plan = lambda data, scope: SHORT_STUDY
    if "STOP_WITH" in os.environ:
        records.save = save_and_stop
    sys.exit(main())
