"""The flow of the training loss's gradient through time in a trained run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from stock_rnn import plots
from stock_rnn.data import dataset_of
from stock_rnn.errors import UserError, writing_to
from stock_rnn.files import atomic_write
from stock_rnn.forecasting.forecaster import WRITE_ELSEWHERE, Forecaster
from stock_rnn.network.gradient_flow import GradientFlow, GradientProbe, reach
from stock_rnn.training import runs
from stock_rnn.training.callbacks.gradients import EXAMPLES
from stock_rnn.training.network import network_of


def describe_gradient_flow(forecaster: Forecaster) -> tuple[list[str], list[Path]]:
    """Measure the flow at the initial and at the trained weights; write it and its picture.

    The loss is the mean squared error, dropout off, on the training examples that the callback
    `Gradients` measures on. The initial weights are drawn again from the run's seed: Keras's
    global generator is seeded by it.

    Args:
        forecaster: the run and its model.

    Returns:
        Lines for the terminal, and the files written: gradient_flow.csv and .png, those of the
        best epoch's model in `best/`.

    Raises:
        UserError: the network has an embedding of stocks, the run's prices are damaged, or its
            folder cannot be written.
    """
    config = forecaster.config
    if config.embedded:
        raise UserError(
            f"{forecaster.run.folder} has an embedding of stocks, which --gradient-flow does not "
            "know: leave it out"
        )
    dataset = dataset_of(config, runs.read_prices(forecaster.run))
    sample = dataset.curvature_sample(EXAMPLES)
    keras.utils.set_random_seed(config.seed)
    models = {"initial": network_of(config, dataset), "trained": forecaster.model}
    flows = {when: GradientProbe(model, *sample).measure() for when, model in models.items()}
    lines = [
        f"gradient of the loss on {len(sample[0]):,} training examples, dropout off; its norm by "
        "the weights, and how much of it reaches the first of the time steps"
    ]
    for when, flow in flows.items():
        lines += [_line(when, name, norm, flow) for name, norm in flow.norms.items()]
    return lines, _write(forecaster, flows)


def _line(when: str, name: str, norm: float, flow: GradientFlow) -> str:
    said = f"{when:9}{name:9}{norm:9.2e}"
    if name in flow.states:
        said += f"  h {reach(flow.states[name]):.2e}"
    if name in flow.memories:
        said += f"  c {reach(flow.memories[name]):.2e}"
    if name == list(flow.states)[-1]:
        said += f"  by the {flow.prediction} {reach(flow.predicted):.2e}"
    return said


def _table(flows: Mapping[str, GradientFlow]) -> dict[str, NDArray[Any]]:
    """Column -> its values by time step."""
    columns: dict[str, NDArray[Any]] = {
        "t": np.arange(1, len(next(iter(flows.values())).predicted) + 1)
    }
    for when, flow in flows.items():
        columns |= {f"{when}_h_{name}": values for name, values in flow.states.items()}
        columns |= {f"{when}_c_{name}": values for name, values in flow.memories.items()}
        columns[f"{when}_predicted"] = flow.predicted
    return columns


def _write(forecaster: Forecaster, flows: Mapping[str, GradientFlow]) -> list[Path]:
    folder = forecaster.folder_in(forecaster.run.folder)
    files = [folder / "gradient_flow.csv", folder / "gradient_flow.png"]
    last = f"{forecaster.which} epoch's weights"
    shown = {"initial weights": flows["initial"], last: flows["trained"]}
    figure = plots.gradient_flow_figure(shown, title=forecaster.run.name)
    columns = _table(flows)
    with writing_to(folder, WRITE_ELSEWHERE):
        folder.mkdir(exist_ok=True)
        with atomic_write(files[0]) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
        with atomic_write(files[1]) as part:
            figure.savefig(part, bbox_inches="tight")
    return files
