"""The whole study in TensorBoard: a run each, with its settings in the HParams table."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
import tqdm
from tensorboard.plugins.hparams import api as hparams

from stock_rnn.curvature.tracking.measurement import TAG_PREFIX
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

# What the folders of runs are called; others in the place are not ours to replace.
_KEY = re.compile(r"[0-9a-f]{16}")

# The tags of train.py's runs, where they mean the same.
_TAGS = {"gradient_norm", "lambda_min", "lambda_max"}


def write_board(folder: Path, found: Sequence[Record]) -> None:
    """Write event files, one folder a run, in place of those that were there.

    Args:
        folder: given to `tensorboard --logdir`.
        found: the records.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for place in folder.iterdir():
        if _KEY.fullmatch(place.name):
            shutil.rmtree(place)
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
    return TAG_PREFIX + name if name in _TAGS else name
