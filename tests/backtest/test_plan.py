"""Folds cover the rest of time once; a fit trains on what lies before its folds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_rnn.backtest.plan import Fit, Walk, plan_fits
from stock_rnn.errors import UserError


def test_twenty_examples_by_hand():
    expanding = plan_fits(20, Walk(folds=3, initial=0.4))
    assert expanding == (
        Fit(0, 0, 4, (4,), 8),
        Fit(1, 0, 8, (8,), 12),
        Fit(2, 0, 12, (12,), 16),
        Fit(3, 0, 16, (16,), 20),
    )
    rolling = plan_fits(20, Walk(folds=3, initial=0.4, window="rolling"))
    assert [(fit.first, fit.end) for fit in rolling] == [(0, 4), (0, 8), (4, 12), (8, 16)]
    seldom = plan_fits(20, Walk(folds=3, initial=0.4, refit_every=2))
    assert seldom[1:] == (Fit(1, 0, 8, (8, 12), 16), Fit(2, 0, 16, (16,), 20))


@given(
    st.integers(1, 400),
    st.integers(1, 30),
    st.floats(0.01, 0.99),
    st.sampled_from(["expanding", "rolling"]),
    st.integers(1, 40),
)
def test_every_example_after_the_first_fits_is_forecast_once(count, folds, initial, window, every):
    walk = Walk(folds=folds, initial=initial, window=window, refit_every=every)
    try:
        fits = plan_fits(count, walk)
    except UserError:
        # Only where the first fit or a fold would have too little.
        begin = round(count * initial)
        assert begin < 3 or count - begin < folds
        return
    begin = round(count * initial)
    forecast = [example for fit in fits for example in range(fit.end, fit.stop)]
    assert forecast == list(range(fits[0].end, count))
    assert fits[0].stop == begin
    starts = [start for fit in fits[1:] for start in fit.starts]
    lengths = [b - a for a, b in zip(starts, [*starts[1:], count], strict=True)]
    assert len(starts) == folds
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1
    for fit in fits:
        assert fit.starts[0] == fit.end
        assert fit.end - fit.first >= 2
        assert len(fit.starts) <= every
        if window == "rolling" and fit.number:
            assert fit.end - fit.first == begin
        if window == "expanding":
            assert fit.first == 0


def test_too_few_examples_are_told_with_their_numbers():
    with pytest.raises(UserError, match=r"\^X: 30 examples are too few .* 24 lie .* and 6 in"):
        plan_fits(30, Walk(folds=7, initial=0.8), symbol="^X")


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"folds": 0}, "--folds"),
        ({"refit_every": 0}, "--refit-every"),
        ({"initial": 1.0}, "--initial"),
        ({"window": "sliding"}, "--window"),
        ({"model": "first"}, "--model"),
    ],
)
def test_a_value_out_of_range_names_its_flag(settings, flag):
    with pytest.raises(UserError, match=f"^{flag} must be .* Received: "):
        Walk(**settings)
