"""The bootstrap of several forecasts at once beside that of arch, one after the other."""

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from stock_rnn.forecasting.bootstrap import skill_intervals


def squares(count, persistence, seed):
    """Squared errors whose sizes go on from day to day."""
    rng = np.random.default_rng(seed)
    sizes = np.zeros(count)
    for t in range(1, count):
        sizes[t] = persistence * sizes[t - 1] + rng.normal()
    return np.exp(sizes) * rng.normal(size=count) ** 2


@pytest.mark.parametrize("count", [20, 137, 1000])
def test_the_intervals_are_those_of_arch(count):
    reference = squares(count, 0.5, 0)
    # Blocks of another length each, of one example too.
    errors = {
        "long": squares(count, 0.97, 1),
        "short": squares(count, 0.0, 2),
        "nearly the same": reference * (1 + 1e-3 * squares(count, 0.5, 3)),
        "equally far": reference + 1.0,
    }
    found = skill_intervals(errors, reference, repetitions=300, seed=5, coverage=0.9)
    lengths = set()
    for name, each in errors.items():
        block = optimal_block_length(each - reference)["stationary"].iloc[0]
        block = max(1.0, block) if np.isfinite(block) else 1.0
        lengths.add(block)
        expected = StationaryBootstrap(block, each, reference, seed=5).conf_int(
            lambda e, r: 1 - e.mean() / r.mean(), reps=300, method="percentile", size=0.9
        )
        np.testing.assert_allclose(found[name], expected[:, 0], rtol=1e-12, atol=1e-12)
    assert min(lengths) == 1
    assert max(lengths) > 2


def test_no_forecast_has_no_interval():
    assert skill_intervals({}, np.ones(30), repetitions=10, seed=0) == {}


def test_a_sample_in_which_the_reference_is_zero_leaves_no_interval():
    reference = np.r_[np.zeros(39), 1.0]
    found = skill_intervals({"all": np.ones(40)}, reference, repetitions=100, seed=0)
    assert np.isnan(found["all"]).all()
