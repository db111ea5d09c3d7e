"""The record of a run from the saddle, and its file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stock_rnn.files import write_json
from stock_rnn.study.escape.plan import FORMAT, Run
from stock_rnn.training.runs.reading import reading


@dataclasses.dataclass(frozen=True, kw_only=True)
class EscapeRecord:
    """What is kept of a run.

    Attributes:
        key: the run's, and the name of the file.
        run: what was run.
        registry: the rules that were known to it (`registry.name`).
        versions: package -> version, of those that the numbers depend on.
        couplings: (2,) ∂²L/∂w∂k and ∂²L/∂w∂β of the unit of v_min, at the run's scale.
        eigenvalue: λ_min = -‖couplings‖.
        weights: how many are trained.
        escaped: steps until the distance along v_min was `FACTOR` times the first; infinite if
            it was not within the limit.
        settled: steps until the loss stayed low; infinite if it did not, or was not asked for.
        diverged: whether a loss was not finite.
        loss: of the last step's batch, over that of the saddle; infinite if it diverged.
        steps: that were made.
        seconds: duration.
    """

    key: str
    run: Run
    registry: Mapping[str, Any]
    versions: Mapping[str, str]
    couplings: tuple[float, float]
    eigenvalue: float
    weights: int
    escaped: float
    settled: float
    diverged: bool
    loss: float
    steps: int
    seconds: float

    @property
    def left_another_way(self) -> bool:
        """Whether the loss had fallen to a twentieth of the saddle's before an escape along v_min.

        Optimizers that divide by the gradient's size turn the rounding of float32 into whole
        steps: all units leave together, and none goes far.
        """
        return self.loss < 0.05

    @property
    def pace(self) -> float:
        """ε|λ_min|."""
        return self.run.rate * abs(self.eigenvalue)


def save(folder: Path, record: EscapeRecord) -> None:
    """Write a record as strict JSON, to `folder/KEY.json`; null for what is not finite."""
    content = {"format": FORMAT, **dataclasses.asdict(record)}
    for name in ("escaped", "settled", "loss"):
        content[name] = content[name] if math.isfinite(content[name]) else None
    write_json(folder / f"{record.key}.json", content)


def load(path: Path) -> EscapeRecord:
    """The inverse of `save`.

    Raises:
        UserError: the file cannot be read, is damaged, or is of another version.
    """
    with reading(path, "delete it and run the study again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("it is of another version")
        for name in ("escaped", "settled", "loss"):
            content[name] = math.inf if content[name] is None else float(content[name])
        first, second = content["couplings"]
        couplings = (float(first), float(second))
        return EscapeRecord(**{**content, "run": Run(**content["run"]), "couplings": couplings})
