"""What each figure and table of the report's own experiments shows, in words."""

from __future__ import annotations

# Prefix of a name -> caption. The first prefix that fits counts.
_CAPTIONS: dict[str, str] = {
    "losses": (
        "Training and test loss by network and optimizer, dropout on as in the report's tests. "
        "Small dots: seeds; large: their interquartile mean with its 95 % interval; stars: the "
        "report's numbers. Persistence is the loss of guessing no change."
    ),
    "figure_": (
        "The newest 100 days of the test set, in the report's layout. Dropout is on, one draw of "
        "masks a seed. Persistence predicts zero."
    ),
    "epochs_": (
        "Training and test loss by epoch, 1 x 32, dropout on: median of the seeds, and their range."
    ),
    "eigenvalues": (
        "Gradient norm, λ_max and λ_min by epoch, 1 x 32: median of the seeds, and their range; "
        "epoch 0 is before training. Dropout is off, where the axis does not say own objective: "
        "the loss with dropout on, over all masks, which the verdicts are on."
    ),
    "edge_of_stability": (
        "The largest eigenvalue of the Hessian as the optimizer sees it, at the end of training, "
        "relative to the line above which steps grow. Dropout is off. Small dots: seeds."
    ),
    "escapes": (
        "Runs that start 0.001 from a strict saddle whose λ_min is known in closed form, without "
        "dropout. Above: a line a run. Below: when it is e times as far, predicted and observed."
    ),
    "sizes": (
        "Loss by the number of units, dropout on: is more than 512 worse? Small dots: seeds; "
        "large: their interquartile mean with its 95 % interval."
    ),
    "rates": (
        "Loss of SGD by learning rate, dropout on: is it the method or the step size? Small dots:"
        " seeds; large: their interquartile mean."
    ),
    "table_": (
        "Mean over seeds and its 95 % interval, dropout on and off. The report's number is in the"
        " rows of the optimizer that it used."
    ),
    "optimizers": (
        "Skill against persistence, 1 - MSE / MSE of persistence: interquartile mean and its 95 %"
        " interval, dropout on and off."
    ),
    "improvement": (
        "The probability that a run of x has a lower test loss than one of y, dropout off."
    ),
    "lines": (
        "What lines from the end of a run are worth: the lowest loss on them, in units of the "
        "loss at the end, of the training's own objective (dropout on, over all masks), 1 x 32. "
        "v_min is the eigenvector of its smallest eigenvalue."
    ),
    "curvature": "Curvature at the end of the runs, dropout off.",
    "makespan": "minutes by workers",
}


def caption(name: str) -> str:
    """The words to a figure or table.

    Raises:
        StopIteration: it has none.
    """
    return next(text for start, text in _CAPTIONS.items() if name.startswith(start))
