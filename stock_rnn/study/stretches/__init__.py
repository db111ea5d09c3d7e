"""The report's claims at other times: stretches of prices as the unit of a bootstrap.

A part of the study, see `stock_rnn.study.parts`.
"""

from stock_rnn.study.stretches.findings import findings
from stock_rnn.study.stretches.run import run

__all__ = ["findings", "run"]
