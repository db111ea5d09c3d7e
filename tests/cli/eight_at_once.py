"""Eight trainings at once in one folder, in processes of their own.

    python tests/cli/eight_at_once.py WORDS...

TensorFlow is imported once, and started in each process alone. Process k trains with seed k, six
of them under one name. Prints a line of JSON: the exit code of each.
"""

import json
import os
import sys

from stock_rnn.cli.train import main

if __name__ == "__main__":
    from stock_rnn.training import fit  # noqa: F401

    gate, starter = os.pipe()
    children = []
    for k in range(8):
        if (child := os.fork()) == 0:
            os.close(starter)
            # Until all are there.
            os.read(gate, 1)
            name = ["--run-name", "same"] if k >= 2 else []
            os._exit(main([*sys.argv[1:], *name, "--seed", str(100 + k)]))
        children.append(child)
    os.close(starter)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(codes))
