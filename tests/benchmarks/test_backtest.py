"""That darts gets the backtest that ours runs, and what is printed of both."""

import numpy as np
import pytest

pytest.importorskip("psutil")

from benchmarks import _walks, backtest
from benchmarks._frame import Results
from stock_rnn.backtest.fit import dataset_before
from stock_rnn.backtest.plan import Walk as Folds
from stock_rnn.backtest.plan import plan_fits
from stock_rnn.config import resolve
from stock_rnn.data import one_stock

SECONDS = {"ours": 2.0, "darts": 10.0, "darts by fold": 4.0}


def test_darts_trains_on_the_windows_that_ours_trains_on():
    config = resolve(None, {})
    prices = one_stock(config)
    walk = backtest.walk_of(20)
    fits = plan_fits(len(prices.close) - config.num_steps, Folds())[1:]
    assert len(walk.starts) == len(fits) == 20
    for start, fit in zip(walk.starts, fits, strict=True):
        known = dataset_before(config, prices, fit.first, fit.end)
        np.testing.assert_array_equal(
            walk.series[:start], known.windows[:, 0].astype(np.float32), strict=True
        )


def test_all_days_from_the_first_fold_on_are_forecast():
    walk = backtest.walk_of(20)
    closes = one_stock(resolve(None, {})).close
    first = walk.starts[0]
    changes = (closes[1:] / closes[:-1] - 1)[first - 1 :]
    np.testing.assert_allclose(walk.series[first:], changes, rtol=1e-5, atol=1e-9)


def test_epochs_are_the_preset_s_unless_given():
    assert backtest.walk_of(2).epochs == 50
    assert backtest.walk_of(2, epochs=3).epochs == 3


def test_a_walk_is_read_as_it_was_written(tmp_path):
    walk = backtest.walk_of(3, epochs=7)
    walk.write(tmp_path / "walk.npz")
    read = _walks.Walk.read(tmp_path / "walk.npz")
    np.testing.assert_array_equal(read.series, walk.series, strict=True)
    assert read[1:] == walk[1:]


def _measured(name, forecasts):
    seconds = SECONDS[name]
    return {
        "call": seconds,
        "command": seconds + 2,
        "processors": 2 * seconds,
        "mse": 1e-4,
        "forecasts": forecasts,
    }


def test_ours_is_compared_with_each_way_of_darts(monkeypatch, capsys):
    monkeypatch.setattr(backtest, "measure", lambda name, path: _measured(name, 628))
    results = Results()
    backtest.main(results, rounds=2)
    shown = capsys.readouterr().out.split("Of that time, ours takes")[1].splitlines()
    rows = {line[:13].strip(): line[13:].split() for line in shown[2:]}
    # 2 / 10 and 4 / 12; 2 / 4 and 4 / 6.
    assert (rows["darts"][0], rows["darts by fold"][0]) == ("0.2", "0.5")
    assert "0.333" in rows["darts"]
    assert "0.667" in rows["darts by fold"]
    found = {(row.system, row.quantity): row.values for row in results.rows}
    assert found["darts by fold", "processors"] == [8.0, 8.0]
    assert len(found) == 9


def test_missing_forecasts_are_told_in_any_round(monkeypatch):
    counts = {"ours": iter([628, 628]), "darts": iter([628, 627]), "darts by fold": iter([628] * 2)}
    monkeypatch.setattr(backtest, "measure", lambda name, path: _measured(name, next(counts[name])))
    with pytest.raises(RuntimeError, match="darts made other forecasts than one for each of 628"):
        backtest.main(Results(), rounds=2)


def test_a_system_that_fails_is_told_with_its_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"darts failed:\n(?s:.*)missing\.npz"):
        backtest.measure("darts", tmp_path / "missing.npz")


@pytest.mark.parametrize("system", ["darts", "darts by fold"])
def test_darts_trains_where_a_fold_begins_and_nowhere_else(system, monkeypatch):
    pytest.importorskip("darts", reason="make bench installs it")
    from darts.models import BlockRNNModel

    trained_on, fit = [], BlockRNNModel.fit

    def counted(self, series, *args, **kwargs):
        trained_on.append(len(series))
        return fit(self, series, *args, **kwargs)

    monkeypatch.setattr(BlockRNNModel, "fit", counted)
    series = np.random.default_rng(0).normal(scale=0.01, size=40).astype(np.float32)
    found = _walks.SYSTEMS[system](_walks.Walk(series, (20, 27, 33), epochs=1))
    assert trained_on == [20, 27, 33]
    assert found["forecasts"] == 20
