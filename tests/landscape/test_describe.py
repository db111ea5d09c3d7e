import dataclasses
import json
import re
import shutil
import sys
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from PIL import Image

from stock_rnn.curvature.operators.blocks import flat_weights
from stock_rnn.data import dataset_of, prices_of
from stock_rnn.errors import UserError
from stock_rnn.forecasting.forecaster import load_run
from stock_rnn.forecasting.spectra import training_loss
from stock_rnn.landscape import PLANES, describe
from stock_rnn.landscape.describe import describe_landscape
from stock_rnn.landscape.place import Request, random_directions
from stock_rnn.landscape.views import kept_path
from stock_rnn.network import build_model
from stock_rnn.training.runs.kept_weights import read_weights
from stock_rnn.training.second_order import network_of
from stock_rnn.training.train import train

pytestmark = pytest.mark.pictures

GRID = 5


@pytest.fixture(scope="module")
def kept(small_config, small_run, tmp_path_factory):
    """A folder with a run of `small_config` that kept its weights, and another run.

    The first was begun shorter and gone on with; the other has other weights of its own.
    """
    folder = tmp_path_factory.mktemp("kept")
    shutil.copytree(small_run.models_dir, folder / "models")
    folders = {"models_dir": folder / "models", "logs_dir": folder / "logs"}
    config = dataclasses.replace(small_config, hessian_every=0, keep_weights=True)
    train(dataclasses.replace(config, max_epoch=2), run_name="kept", **folders)
    train(config, run_name="kept", resume=True, **folders)
    shutil.copytree(small_run.folder, folder / "models" / "other")
    model = keras.saving.load_model(small_run.model)
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.1 * rng.normal(size=w.shape) for w in model.get_weights()])
    model.save(folder / "models" / "other" / "model.keras")
    return folder


@pytest.fixture(scope="module")
def loaded(kept):
    found = load_run("kept", models_dir=kept / "models", logs_dir=kept / "logs")
    found.model.compile(loss="mse")
    return found


@pytest.fixture(scope="module")
def answer(kept):
    """What the command leaves and says, run once."""
    import contextlib
    import io

    from stock_rnn.cli.landscape import main

    said = io.StringIO()
    words = ["kept", "--with", "other", "--grid", str(GRID)]
    with contextlib.chdir(kept), contextlib.redirect_stdout(said):
        assert main(words) == 0
    return said.getvalue().splitlines()


def true_loss(loaded):
    """Keras's own mean squared error on the training examples, dropout off."""
    data = dataset_of(loaded.config, prices_of(loaded.config))
    return loaded.model.evaluate(data.train_X, data.train_y, verbose=0)


def test_the_weights_of_every_epoch_are_those_of_a_training_that_keeps_none(
    loaded, small_run, kept
):
    epochs, weights = read_weights(loaded.run, loaded.model.count_params())
    assert epochs.tolist() == [0, 1, 2, 3]
    keras.utils.set_random_seed(loaded.config.seed)
    initial = network_of(loaded.config, None)
    same = keras.saving.load_model(small_run.model)
    for epoch, model in ((0, initial), (3, same), (3, loaded.model)):
        expected = np.concatenate([np.ravel(v.numpy()) for v in model.trainable_variables])
        np.testing.assert_array_equal(weights[epoch], expected)
    assert len(np.unique(weights, axis=0)) == 4


def test_each_plane_has_the_models_own_loss_at_the_run(answer, loaded):
    with np.load(loaded.run.folder / "landscape" / "landscape.npz") as arrays:
        assert {f"{name}_{of}" for name in PLANES for of in ("x", "y", "losses")} < set(arrays)
        middle = GRID // 2
        for name in ("random", "eigen"):
            assert arrays[f"{name}_losses"].shape == (GRID, GRID)
            assert arrays[f"{name}_x"][middle] == arrays[f"{name}_y"][middle] == 0
            found = arrays[f"{name}_losses"][middle, middle]
            assert found == pytest.approx(true_loss(loaded), rel=1e-5)
        # Elsewhere it is Keras's with the weights moved there.
        loss = training_loss(loaded)
        before = loaded.model.get_weights()
        flat = np.concatenate([np.ravel(w) for w in before])
        first, second = random_directions(loss, flat, 0)
        moved = flat + arrays["random_x"][1] * first + arrays["random_y"][4] * second
        parts = np.split(moved, np.cumsum([w.size for w in before])[:-1])
        loaded.model.set_weights(
            [part.reshape(w.shape) for part, w in zip(parts, before, strict=True)]
        )
        corner = true_loss(loaded)
        loaded.model.set_weights(before)
        assert arrays["random_losses"][4, 1] == pytest.approx(corner, rel=1e-5)
        assert abs(corner / true_loss(loaded) - 1) > 0.01


def test_the_path_ends_at_the_run(answer, loaded):
    with np.load(loaded.run.folder / "landscape" / "landscape.npz") as arrays:
        np.testing.assert_array_equal(arrays["path_coordinates"][-1], [0, 0])
        assert arrays["path_true_losses"][-1] == pytest.approx(true_loss(loaded), rel=1e-5)
        assert arrays["path_epochs"].tolist() == [0, 1, 2, 3]
        for axis, along in zip("xy", arrays["path_coordinates"].T, strict=True):
            window = arrays[f"path_{axis}"]
            assert window[0] < along.min() < along.max() < window[-1]
    assert any(line.startswith("path of 4 epochs") for line in answer)


def test_the_command_says_what_permuting_and_averaging_does(answer):
    permuted = next(line for line in answer if line.startswith("all units permuted"))
    start, end, difference, average = (
        float(number) for number in re.findall(r"(\d[\d.e+-]*\d|\d)(?=[ ,)])", permuted)[:4]
    )
    assert start == pytest.approx(end, rel=1e-3)
    assert difference < 1e-5
    assert ("not worse" in permuted) == (average <= max(start, end))
    assert any(line.startswith("to other: loss") for line in answer)
    assert any(line.startswith("its units aligned: loss") for line in answer)
    (distances,) = (line for line in answer if line.startswith("distance of the weights"))
    before, after = map(float, re.findall(r"\d[\d.]*", distances))
    assert 0 < after <= before


def test_every_picture_is_there_as_svg_and_png(answer, kept):
    files = [kept / line for line in answer if line.startswith("models/")]
    names = ["permuted", "aligned", "slices", *(f"plane_{name}" for name in PLANES)]
    wanted = {
        "landscape.npz",
        "surface.html",
        *(f"{n}{e}" for n in names for e in (".svg", ".png")),
    }
    assert {path.name for path in files} == wanted
    assert {path.name for path in files[0].parent.iterdir()} == wanted
    for path in files:
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        if path.suffix == ".png":
            with Image.open(path) as picture:
                # Not blank.
                assert len(picture.convert("RGB").getcolors(2**20)) > 20


def test_the_page_has_all_surfaces_and_loads_nothing(answer, loaded):
    text = (loaded.run.folder / "landscape" / "surface.html").read_text(encoding="utf-8")
    # The page's own markup: the library's script has addresses that it loads only for maps.
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.findall(r"(?:src|href)\s*=", markup)
    assert not re.findall(r"<script[^>]*\bsrc=", text)
    call = text[text.rindex("Plotly.newPlot(") :]
    traces = json.JSONDecoder().raw_decode(call[call.index("[") :])[0]
    assert [trace["type"] for trace in traces].count("surface") == len(PLANES)
    assert [trace.get("visible") for trace in traces] == [True, True, False, False] + [False] * 3
    assert len(text) > 10**6


def test_the_same_seed_gives_the_same_directions(loaded):
    loss = training_loss(loaded)
    weights = flat_weights(loss.variables)
    one, same, other = (random_directions(loss, weights, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def replaced(loaded, **changed):
    """A forecaster of another network, of a run of another name."""
    config = dataclasses.replace(loaded.config, **changed)
    names = ("input_size", "num_steps", "num_layers", "lstm_size", "keep_prob", "cell")
    model = build_model(**{name: getattr(config, name) for name in names})
    run = dataclasses.replace(loaded.run, name="another")
    return dataclasses.replace(loaded, run=run, config=config, model=model)


@pytest.mark.parametrize(
    "changed", [{"lstm_size": 5}, {"num_layers": 2}, {"cell": "gru"}, {"num_steps": 4}]
)
def test_a_network_of_another_shape_is_refused(changed, loaded):
    with pytest.raises(UserError, match=r"--with another: its network is .* of the same shapes"):
        describe_landscape(loaded, Request(html=False), replaced(loaded, **changed))


def test_the_run_itself_is_no_other_run(loaded):
    with pytest.raises(UserError, match="--with must name another run"):
        describe_landscape(loaded, Request(html=False), loaded)


def test_a_network_that_is_too_large_is_refused(loaded, monkeypatch):
    monkeypatch.setattr(describe, "MOST_WEIGHTS", 10)
    with pytest.raises(UserError, match="of up to 10 weights, and this one has"):
        describe_landscape(loaded, Request(html=False))


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(
    loaded, tmp_path, monkeypatch
):
    run = dataclasses.replace(loaded.run, models_dir=tmp_path)
    run.folder.mkdir()
    (run.folder / "landscape").write_text("a file")
    monkeypatch.setattr(describe, "extreme_eigenpairs", None)
    with pytest.raises(UserError, match=r"cannot write to .*landscape: File exists"):
        describe_landscape(dataclasses.replace(loaded, run=run), Request(html=False))


def test_the_path_leads_to_the_last_model_only(loaded):
    best = dataclasses.replace(loaded, which="best")
    with pytest.raises(UserError, match="not to --model best; leave out --planes path"):
        describe_landscape(best, Request(planes=["path"], html=False))
    assert kept_path(best, Request()) is None


def test_two_epochs_make_no_path(loaded, tmp_path):
    run = dataclasses.replace(loaded.run, models_dir=tmp_path)
    shutil.copytree(loaded.run.weights, run.weights)
    for epoch in (1, 2):
        (run.weights / f"epoch{epoch:07d}.npy").unlink()
    short = dataclasses.replace(loaded, run=run)
    assert kept_path(short, Request()) is None
    with pytest.raises(UserError, match=r"of 2 epochs, and a path needs 3; leave out"):
        kept_path(short, Request(planes=["path"]))


def test_without_plotly_the_page_is_refused_in_one_line(loaded, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(UserError, match=r"plotly: pip install .*--no-html"):
        describe_landscape(loaded, Request())
