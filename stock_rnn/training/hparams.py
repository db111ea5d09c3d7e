"""The settings of a run in TensorBoard's table of hyperparameters."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import plugin_data_pb2

from stock_rnn.config import Config

# The columns that the table opens on; TensorBoard takes five.
_SHOWN = {"optimizer", "num_layers", "lstm_size", "init_learning_rate", "seed"}


def write_hparams(log_dir: Path, config: Config) -> None:
    """Write the settings for TensorBoard's HParams table; test skill and losses are its metrics.

    The table opens on the optimizer, the network's size, the learning rate, the seed and
    the skill; other columns can be ticked.

    Args:
        log_dir: logs/RUN.
        config: the settings.
    """
    settings = {name: str(v) if v is None else v for name, v in config.to_dict().items()}
    metrics = [hparams.Metric("epoch_skill", group="test", display_name="test skill")]
    metrics += [
        hparams.Metric("epoch_loss", group=group, display_name=f"{group} loss")
        for group in ("test", "train")
    ]
    writer = tf.summary.create_file_writer(str(log_dir))
    with writer.as_default():
        tf.summary.experimental.write_raw_pb(_columns(list(settings), metrics), step=0)
        hparams.hparams(settings, trial_id=log_dir.name)
    writer.close()


def _columns(names: list[str], metrics: list[hparams.Metric]) -> bytes:
    """The table's columns, as a serialized summary."""
    summary = hparams.hparams_config_pb([hparams.HParam(name) for name in names], metrics)
    plugin = summary.value[0].metadata.plugin_data
    table = plugin_data_pb2.HParamsPluginData.FromString(plugin.content)
    # TensorBoard sorts columns by name, those first that are marked to differ between runs.
    for column in table.experiment.hparam_infos:
        column.differs = column.name in _SHOWN
    plugin.content = table.SerializeToString()
    return summary.SerializeToString()
