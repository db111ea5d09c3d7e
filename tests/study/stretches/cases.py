"""Stretches that several tests share: rolling years of two indices, and runs that were made up."""

import dataclasses

import numpy as np

from stock_rnn.study.stretches.judge import Ran
from tests.study.cases import made_record

YEARS = np.array([year for year in range(1999, 2015) for _ in range(2)])


def spans(years, length=5):
    """(first, last): days of stretches of some calendar years."""
    first = np.array([f"{year}-01-01" for year in years], "datetime64[D]")
    last = np.array([f"{year + length - 1}-12-31" for year in years], "datetime64[D]")
    return first, last


def made_stretch(year, symbol="^GSPC", *, seeds=3, own=False, sgd=2.0, wide=4.0, known=None):
    """A stretch whose losses are 1e-4 of RMSProp, and so many times that of the others."""
    first, last = spans([year])
    kinds = (("sgd", 32, sgd), ("rmsprop", 32, 1.0), ("rmsprop", 128, wide))
    found = [
        made_record(
            optimizer,
            seed,
            network=(1, size),
            train_loss_dropout=[1e-2, 1e-4 * of],
            test_loss_dropout=[1e-2, 1e-4 * of],
        )
        for seed in range(seeds)
        for optimizer, size, of in kinds
    ]
    found = [
        dataclasses.replace(record, key=f"{symbol}-{year}-{record.key}", registry=known or {})
        for record in found
    ]
    return Ran(
        name=f"{symbol} {year}",
        own=own,
        data={"symbol": symbol, "first": str(first[0]), "last": str(last[0]), "count": 1256},
        records=found,
    )
