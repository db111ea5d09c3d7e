"""The files of measurements: what is no such file is said in one line."""

import numpy as np
import pytest

from stock_rnn.curvature import load_measurements, load_steps, save_measurements, save_steps
from stock_rnn.curvature.tracking.array_file import read_arrays, write_arrays

KINDS = [(save_measurements, load_measurements), (save_steps, load_steps)]


@pytest.mark.parametrize(("save", "load"), KINDS)
def test_no_measurements_are_read_back_as_none(tmp_path, save, load):
    path = tmp_path / "new" / "rows.npz"
    save(path, [])
    assert load(path) == []
    assert [each.name for each in path.parent.iterdir()] == ["rows.npz"]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("load", [load for _, load in KINDS])
def test_a_file_that_was_cut_short_is_told_by_its_name(tmp_path, load, share):
    path = tmp_path / "rows.npz"
    write_arrays(path, {"epochs": np.arange(100)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"rows\.npz is no whole \.npz file"):
        load(path)


def test_a_later_version_is_refused_and_one_without_a_version_is_the_first(tmp_path):
    path = tmp_path / "rows.npz"
    write_arrays(path, {"format": np.array(3)})
    assert read_arrays(path, 3) == {"format": 3}
    with pytest.raises(ValueError, match=r"format 3.* reads up to 2: upgrade"):
        read_arrays(path, 2)
    write_arrays(path, {})
    assert read_arrays(path, 1) == {}
