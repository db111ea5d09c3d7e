"""Run what is missing of this part, in a process of its own, and write which runs it has."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from stock_rnn.config import Config
from stock_rnn.data import dataset_of
from stock_rnn.errors import UserError
from stock_rnn.files import remove_part_files, write_json
from stock_rnn.prices import Prices
from stock_rnn.study import registry
from stock_rnn.study.escape import plan, problem, record, sharpness
from stock_rnn.study.escape.plan import Run
from stock_rnn.study.folder import Folder
from stock_rnn.terminal import quiet_import
from stock_rnn.training import runs as training_runs
from stock_rnn.training.runs.reading import reading
from stock_rnn.workers.environment import use_one_thread, versions
from stock_rnn.workers.pool import local_processes

_log = logging.getLogger("stock_rnn.study.escape")

NAME = "escape"


class Paths:
    """The paths of this part's files in a study's folder.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Folder) -> None:
        self.path = folder.path / NAME
        self.runs = self.path / "runs"
        self.sharpness = self.path / "sharpness"
        self.staib = self.path / "staib.json"
        self.study = self.path / "study.json"


def run(
    data: dict[str, Any], prices: Prices, folder: Folder, submit: Any, seeds: int = plan.SEEDS
) -> None:
    """Run what is missing.

    The runs are short and share graphs, so that they are made one after the other, in one
    process of their own; each is kept when it ends, and a stopped study goes on.

    Args:
        data: the settings of `Config` that say which prices to use.
        prices: those prices.
        folder: of the study.
        submit: not used: it starts trainings of the study's own kind.
        seeds: how many; `plan.SEEDS` at most are used.

    Raises:
        UserError: too few prices, a damaged record, or the process was killed.
    """
    paths, seeds = Paths(folder), min(seeds, plan.SEEDS)
    for each in (paths.runs, paths.sharpness):
        each.mkdir(parents=True, exist_ok=True)
        remove_part_files(each)
    remove_part_files(paths.path)
    tuning = plan.tuning_runs()
    try:
        _in_process(tuning, data, prices, paths)
        tuned = tuned_rates(_records(tuning, prices, paths))
        wanted = plan.escape_runs(tuned, seeds)
        measured = measured_keys(prices.sha256, min(seeds, sharpness.SEEDS))
        _write_study(data, prices, paths, tuned, wanted, list(measured))
        with local_processes(1, _solve_problem) as start:
            start(paths.staib).result()
        missing = {k: v for k, v in measured.items() if not _of_key(paths, k).exists()}
        with local_processes(1, _measure) as start:
            for key, (optimizer, seed) in missing.items():
                start(optimizer, seed, data, prices, _of_key(paths, key)).result()
        _in_process(wanted, data, prices, paths)
    except BrokenProcessPool as error:
        raise UserError(
            "the process of the runs at the saddle was killed, perhaps because memory ran out; "
            "the same command goes on"
        ) from error


def tuned_rates(records: Sequence[record.EscapeRecord]) -> dict[str, float]:
    """Optimizer -> the rate whose runs settled first, in the mean; then that of the lowest loss.

    Args:
        records: of `plan.tuning_runs`.
    """
    found = {}
    for optimizer in plan.FIRST_ORDER:

        def score(rate: float, optimizer: str = optimizer) -> tuple[float, float]:
            at = [r for r in records if (r.run.optimizer, r.run.rate) == (optimizer, rate)]
            return float(np.mean([r.settled for r in at])), float(np.mean([r.loss for r in at]))

        found[optimizer] = min(plan.RATES, key=score)
    return found


def measured_keys(sha256: str, seeds: int) -> dict[str, tuple[str, int]]:
    """Key -> optimizer and seed of the measurements at the end of trainings."""
    here, found = versions(), {}
    for optimizer, seed in itertools.product(sharpness.OPTIMIZERS, range(seeds)):
        content = [plan.FORMAT, optimizer, seed, sharpness.BATCHES, sha256, here]
        found[_hash(content)] = (optimizer, seed)
    return found


def load_rows(path: Path) -> Any:
    """The content of a file of rows that this module wrote.

    Raises:
        UserError: it cannot be read, is damaged, or is of another version.
    """
    with reading(path, "delete it and run the study again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != plan.FORMAT:
            raise ValueError("it is of another version")
        return content


def _in_process(wanted: Sequence[Run], data: dict[str, Any], prices: Prices, paths: Paths) -> None:
    """Make the runs that are missing, those that share a graph together."""
    here = versions()
    missing = [r for r in wanted if not _of_run(paths, r, prices.sha256, here).exists()]
    _log.info("%d runs from the saddle: %d to make", len(wanted), len(missing))

    def group(of: Run) -> tuple[bool, bool, int]:
        # Noise takes as long as all the rest.
        noisy = of.optimizer == "perturbed"
        return noisy, of.batches == plan.FULL, plan.OPTIMIZERS.index(of.optimizer)

    with local_processes(1, _make) as start:
        for _, some in itertools.groupby(sorted(missing, key=group), key=group):
            start(list(some), data, prices, paths.runs).result()


def _make(some: list[Run], data: dict[str, Any], prices: Prices, folder: Path) -> int:
    def body() -> int:
        from stock_rnn.study.escape import runner

        dataset = dataset_of(Config(**data), prices)
        return runner.make(some, dataset, prices.sha256, folder)

    return int(_with_keras(body))


def _solve_problem(path: Path) -> None:
    key = _hash([plan.FORMAT, problem.RATES, problem.LIMIT, problem.SEEDS, versions()])
    if path.exists() and load_rows(path)["key"] == key:
        return
    rows = _with_keras(problem.solve)
    _write(path, key, rows)


def _measure(optimizer: str, seed: int, data: dict[str, Any], prices: Prices, path: Path) -> None:
    row = _with_keras(lambda: sharpness.measure(optimizer, seed, data, prices))
    _write(path, path.stem, [row])


def _with_keras(body: Callable[[], Any]) -> Any:
    """Call with TensorFlow quiet and on one thread; its graphs are freed."""
    with quiet_import():
        import keras
    use_one_thread()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return body()
    finally:
        keras.backend.clear_session()


def _write(path: Path, key: str, rows: list[dict[str, Any]]) -> None:
    content = {"format": plan.FORMAT, "key": key, "registry": registry.name()}
    write_json(path, {**content, "versions": versions(), "rows": rows})


def _write_study(
    data: dict[str, Any],
    prices: Prices,
    paths: Paths,
    tuned: Mapping[str, float],
    wanted: Sequence[Run],
    measured: Sequence[str],
) -> None:
    here = versions()
    flags = [f"--{name.replace('_', '-')} {shlex.quote(str(v))}" for name, v in data.items() if v]
    write_json(
        paths.study,
        {
            "format": plan.FORMAT,
            "command": " ".join(["python reproduce.py --parts escape", *flags]),
            "data": training_runs.describe_data(prices),
            "tuned": dict(tuned),
            "runs": [of.key(prices.sha256, here) for of in wanted],
            "tuning": [of.key(prices.sha256, here) for of in plan.tuning_runs()],
            "sharpness": list(measured),
        },
    )


def _records(wanted: Sequence[Run], prices: Prices, paths: Paths) -> list[record.EscapeRecord]:
    here = versions()
    return [record.load(_of_run(paths, of, prices.sha256, here)) for of in wanted]


def _of_run(paths: Paths, of: Run, sha256: str, here: dict[str, str]) -> Path:
    return paths.runs / f"{of.key(sha256, here)}.json"


def _of_key(paths: Paths, key: str) -> Path:
    return paths.sharpness / f"{key}.json"


def _config(data: dict[str, Any]) -> Config:
    return Config(**data)


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
