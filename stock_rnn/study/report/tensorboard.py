"""The study in TensorBoard: each run's losses and curvature, and a row in the HParams table."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
import tqdm
from tensorboard.plugins.hparams import api as hparams

from stock_rnn.curvature.tracking.callback import DEFAULT_NAME
from stock_rnn.study.records import Record

_SETTINGS = (
    "split",
    "optimizer",
    "num_layers",
    "lstm_size",
    "init_learning_rate",
    "max_epoch",
    "batch_size",
    "keep_prob",
    "seed",
)
_METRICS = (
    "train_loss",
    "test_loss",
    "test_loss_dropout",
    "gradient_norm",
    "lambda_min",
    "lambda_max",
)

# The folder name of a run. Other folders are not removed.
_KEY = re.compile(r"[0-9a-f]{16}")

# Columns that train.py's runs have too: they get the same tag.
_TAGS = {"gradient_norm", "lambda_min", "lambda_max"}


def write_event_files(folder: Path, found: Sequence[Record]) -> None:
    """Write the event files of all runs; those of earlier runs are removed.

    Args:
        folder: for `tensorboard --logdir`; gets a folder for each run.
        found: the records.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if _KEY.fullmatch(path.name):
            shutil.rmtree(path)
    for record in tqdm.tqdm(found, desc="TensorBoard", unit="run", leave=False, disable=None):
        writer = tf.summary.create_file_writer(str(folder / record.key))
        with writer.as_default():
            hparams.hparams_config(
                hparams=[hparams.HParam(name) for name in (*_SETTINGS, "start")],
                metrics=[hparams.Metric(_tag(name), display_name=name) for name in _METRICS],
            )
            settings = {name: getattr(record.config, name) for name in _SETTINGS}
            hparams.hparams({**settings, "start": record.task.start}, trial_id=record.key)
            for name in _METRICS:
                _write_series(record, name)
        writer.close()


def _write_series(record: Record, name: str) -> None:
    values = record.epochs.get(name)
    if values is None:
        return
    for epoch, value in zip(record.epochs["epoch"], values, strict=True):
        if math.isfinite(value):
            tf.summary.scalar(_tag(name), value, step=int(epoch))


def _tag(name: str) -> str:
    return f"{DEFAULT_NAME}/{name}" if name in _TAGS else name
