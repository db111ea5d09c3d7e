"""The progress of many tasks, for whoever watches them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tqdm


class TaskProgress:
    """A progress bar on stderr, in estimated work, so that the remaining time is right.

    Args:
        costs: of the tasks, in any one unit.
        noun: what a task is called.
    """

    def __init__(self, costs: Sequence[float], noun: str = "run") -> None:
        self._total, self._done, self._noun = len(costs), 0, noun
        self._bar = tqdm.tqdm(
            total=sum(costs),
            disable=not costs,
            file=sys.stderr,
            # A terminal is updated often, a log file rarely.
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            bar_format="{desc} {percentage:3.0f}%|{bar:30}| {elapsed} gone, {remaining} left",
        )

    def __enter__(self) -> TaskProgress:
        self._describe()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def finished(self, cost: float) -> None:
        """Count one task more, of this cost."""
        self._done += 1
        self._describe()
        self._bar.update(cost)

    def _describe(self) -> None:
        text = f"{self._noun} {self._done} of {self._total}"
        self._bar.set_description_str(text, refresh=False)
