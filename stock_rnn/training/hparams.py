"""The settings of a run in TensorBoard's table of hyperparameters."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from stock_rnn.config import Config


def write_hparams(log_dir: Path, config: Config) -> None:
    """Write the settings for TensorBoard's HParams table; losses and test skill are its metrics.

    Args:
        log_dir: logs/RUN.
        config: the settings.
    """
    settings = {name: str(v) if v is None else v for name, v in config.to_dict().items()}
    metrics = [
        hparams.Metric("epoch_loss", group=group, display_name=f"{group} loss")
        for group in ("train", "test")
    ]
    metrics.append(hparams.Metric("epoch_skill", group="test", display_name="test skill"))
    writer = tf.summary.create_file_writer(str(log_dir))
    with writer.as_default():
        hparams.hparams_config(hparams=[hparams.HParam(name) for name in settings], metrics=metrics)
        hparams.hparams(settings, trial_id=log_dir.name)
    writer.close()
