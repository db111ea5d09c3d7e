import numpy as np
import pytest

from stock_rnn.forecasting.metrics import score


def test_mean_squared_errors_and_skill():
    actual = np.array([[1.0, 2.0], [3.0, 4.0]])
    result = score(actual, actual + 1, actual + 2)
    assert (result.examples, result.mse, result.persistence_mse) == (2, 1.0, 4.0)
    assert result.skill == pytest.approx(0.75)
    assert np.isnan(result.interval).all()


def test_predicting_persistence_has_no_skill():
    actual = np.random.default_rng(0).normal(size=(100, 1))
    result = score(actual, np.zeros((100, 1)), np.zeros((100, 1)))
    assert (result.skill, result.interval) == (0.0, (0.0, 0.0))


def test_a_perfect_persistence_leaves_skill_undefined():
    actual = np.zeros((50, 1))
    result = score(actual, actual + 1, actual)
    assert np.isnan(result.skill)
    assert np.isnan(result.interval).all()


def test_many_examples_cost_little_and_agree():
    rng = np.random.default_rng(0)
    actual = rng.normal(size=(400_000, 1))
    result = score(actual, 0.1 * actual, np.zeros_like(actual))
    assert result.skill == pytest.approx(0.19, abs=1e-9)
    low, high = result.interval
    assert low <= 0.19 + 1e-9
    assert high >= 0.19 - 1e-9


@pytest.mark.slow
def test_the_interval_covers_the_true_skill_about_95_times_in_100():
    # Serially dependent errors, for which an i.i.d. bootstrap covers less.
    rng, hits, draws = np.random.default_rng(1), 0, 150
    for draw in range(draws):
        noise = np.zeros(300)
        for t in range(1, 300):
            noise[t] = 0.5 * noise[t - 1] + rng.normal()
        signal = rng.normal(size=300)
        actual = (signal + noise)[:, None]
        # E[(s + e)²] = 1 + 4/3, and predicting s leaves 4/3.
        result = score(actual, signal[:, None], np.zeros((300, 1)), seed=draw)
        hits += result.interval[0] <= 1 - (4 / 3) / (7 / 3) <= result.interval[1]
    assert 0.88 <= hits / draws <= 0.99
