"""The study's part `tuned`: every optimizer at its own best rate, beside the report's rate.

    plan -> run: search -> choice -> reruns -> judge -> tables, figures -> findings

The last tenth of the training examples validates. A grid of rates is searched for every
optimizer, the rate with the lowest validation loss is run again with fresh seeds, and the test
losses of these runs are judged: DeepOBS's protocol (Schneider, Balles, Hennig, "DeepOBS: A Deep
Learning Optimizer Benchmark Suite", ICLR 2019). Beside it stands `one-shot`: the same seeds at
the report's rate.
"""

from stock_rnn.study.tuned.findings import findings
from stock_rnn.study.tuned.run import run

__all__ = ["findings", "run"]
