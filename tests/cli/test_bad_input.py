"""Whatever a user gets wrong: exit code 2, one line that names it, no traceback.

The commands run in this process; one of each kind is repeated as a real process.
"""

import hashlib
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

DAYS = pd.bdate_range("2020-01-01", periods=40).strftime("%Y-%m-%d")
ROWS = [f"{day},{100 + i}" for i, day in enumerate(DAYS)]


def csv(*rows, header="Date,Close"):
    return "\n".join([header, *rows]) + "\n"


def changed(row, text):
    return csv(*ROWS[:row], text, *ROWS[row + 1 :])


# File name -> content; what the message must name.
BAD_CSVS = {
    "empty": ("", "empty.csv"),
    "header-only": (csv(), "header-only.csv"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 50, "binary.csv"),
    "not-utf8": (csv(*ROWS).encode() + b"\xff\xfe\xfa", "not-utf8.csv"),
    "truncated": (csv(*ROWS)[:-8], "truncated.csv"),
    "no-close": (csv(*ROWS, header="Date,Volume"), "close"),
    "no-date": (csv(*ROWS, header="Row,Close"), "date"),
    "all-null": (csv(*(f"{day},null" for day in DAYS)), "all-null.csv"),
    "zero": (changed(7, f"{DAYS[7]},0"), "line 9"),
    "negative": (changed(7, f"{DAYS[7]},-3"), "line 9"),
    "infinite": (changed(7, f"{DAYS[7]},inf"), "line 9"),
    "words": (changed(7, f"{DAYS[7]},=cmd()"), "line 9"),
    "bad-date": (changed(7, "2020-02-31,100"), "line 9"),
    "doubled": (changed(7, f"{DAYS[6]},999"), DAYS[6]),
    "too-few": (csv(*ROWS[:4]), "too few"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_run):
    """A folder with a complete run named `small` and the bad files."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(small_run.models_dir, folder / "models")
    shutil.copytree(small_run.logs_dir, folder / "logs")
    for name, (content, _) in BAD_CSVS.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.csv").write_bytes(data)
    (folder / "a-file").write_text("not a folder")
    (folder / "models" / "foreign").mkdir()
    (folder / "models" / "foreign" / "thesis.tex").write_text("years of work")
    for name in (
        "corrupt-config",
        "corrupt-model",
        "bomb",
        "other-shape",
        "unfinished",
        "corrupt-spectrum",
        "diverged",
        "corrupt-weights",
    ):
        shutil.copytree(folder / "models/small", folder / "models" / name)
    models = folder / "models"
    (models / "corrupt-config" / "config.json").write_text('{"format": 1, "config"')
    (models / "corrupt-model" / "model.keras").write_bytes(b"PK\x03\x04 half a model")
    (models / "unfinished" / "model.keras").unlink()
    (models / "corrupt-spectrum" / "spectrum.npz").write_bytes(b"PK half")
    (models / "diverged" / "model.keras").unlink()
    (models / "diverged" / "diverged.json").write_text('{"message": "the loss is not finite"}')
    (models / "corrupt-weights" / "weights").mkdir()
    (models / "corrupt-weights" / "weights" / "epoch0000001.npy").write_bytes(b"half")
    with zipfile.ZipFile(models / "bomb" / "model.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"small")
        # What a bomb's directory says, without its gigabytes.
        archive.filelist[0].file_size = 9 * 2**30
    _save_other_shape(models / "other-shape" / "model.keras")
    return folder


def _save_other_shape(path):
    import keras

    keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten(), keras.layers.Dense(1)]).save(
        path
    )


def fingerprint(folder):
    """Every file of the complete run, by content."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for top in (folder / "models" / "small", folder / "logs" / "small")
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }


def assert_one_line(answer, script, named):
    lines = answer.stderr.splitlines()
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    assert lines[-1].startswith(f"{script}: error: "), answer.stderr
    assert named in lines[-1]
    assert sum(line.startswith(f"{script}: error: ") for line in lines) == 1


@pytest.mark.parametrize("name", BAD_CSVS)
def test_a_bad_csv_is_refused(name, folder, run_here):
    before = fingerprint(folder)
    answer = run_here("train.py", "--csv", f"{name}.csv", cwd=folder)
    assert_one_line(answer, "train.py", BAD_CSVS[name][1])
    assert fingerprint(folder) == before
    assert not list((folder / "models").glob("*rmsprop*/config.json"))


TRAIN = {
    "missing csv": (["--csv", "absent.csv"], "absent.csv"),
    "folder as csv": (["--csv", "models"], "models"),
    "csv without a name": (["--source", "csv"], "--csv"),
    "span outside": (["--source", "bundled", "--start", "2019-06-01"], "2018-12-31"),
    "start after end": (["--start", "2018-01-01", "--end", "2017-01-01"], "--start"),
    "no such day": (["--start", "2018-02-30"], "2018-02-30"),
    "no such period": (["--period", "5 years"], "5 years"),
    "symbol not bundled": (["--source", "bundled", "--symbol", "AAPL"], "AAPL"),
    "too many steps": (["--num-steps", "5000"], "too few"),
    "too wide": (["--input-size", "5000"], "too few"),
    "no layers": (["--num-layers", "0"], "--num-layers"),
    "no units": (["--lstm-size", "-4"], "--lstm-size"),
    "nothing kept": (["--keep-prob", "0"], "--keep-prob"),
    "all tested": (["--test-ratio", "1"], "--test-ratio"),
    "a share of words": (["--test-ratio", "tenth"], "--test-ratio"),
    "no rate": (["--init-learning-rate", "nan"], "--init-learning-rate"),
    "growing rate": (["--learning-rate-decay", "2"], "--learning-rate-decay"),
    "no epochs": (["--max-epoch", "0"], "--max-epoch"),
    "no batch": (["--batch-size", "0"], "--batch-size"),
    "negative interval": (["--hessian-every", "-1"], "--hessian-every"),
    "no tolerance": (["--hessian-tol", "0"], "--hessian-tol"),
    "no samples": (["--hessian-samples", "0"], "--hessian-samples"),
    "negative seed": (["--seed", "-1"], "--seed"),
    "unknown preset": (["--preset", "table9"], "table9"),
    "unknown optimizer": (["--optimizer", "rmsporp"], "rmsporp"),
    "unknown cell": (["--cell", "transformer"], "transformer"),
    "no rank": (["--cell", "tt-lstm", "--tt-rank", "0"], "--tt-rank"),
    "a rank above the full one": (["--cell", "tt-lstm", "--tt-rank", "17"], "at most 16"),
    "a rank of a dense cell": (["--tt-rank", "4"], "--cell tt-lstm alone"),
    "cores by an initializer": (
        ["--cell", "tt-lstm", "--kernel-initializer", "he_normal"],
        "tensor trains",
    ),
    "unknown activation": (["--activation", "reul"], "leaky_relu"),
    "unknown initializer": (["--kernel-initializer", "zeros"], "he_normal"),
    "an identity of four gates": (["--recurrent-initializer", "identity"], "simple_rnn"),
    "a forget gate of a GRU": (["--cell", "gru", "--forget-bias", "2"], "--forget-bias"),
    "an endless forget bias": (["--forget-bias", "inf"], "--forget-bias"),
    "unknown norm": (["--norm", "group"], "batch"),
    "one unit normalized": (["--norm", "layer", "--lstm-size", "1"], "--lstm-size 2"),
    "one example normalized": (["--norm", "batch", "--batch-size", "1"], "--batch-size 2"),
    "no batches to normalize": (["--norm", "batch", "--optimizer", "newton"], "--norm layer"),
    "nothing left of the gradient": (["--clipnorm", "0"], "--clipnorm"),
    "clipped to less than nothing": (["--clipvalue", "-1"], "--clipvalue"),
    "clipped twice": (["--clipnorm", "1", "--clipvalue", "1"], "--clipvalue"),
    "whole steps clipped": (["--optimizer", "newton", "--clipnorm", "1"], "whole steps"),
    "unknown flag": (["--learning-rat", "1"], "--learning-rat"),
    "existing run": (["--run-name", "small", "--period", "1y"], "small"),
    "other settings": (["--run-name", "small", "--resume"], "other settings"),
    "not a run": (["--run-name", "foreign", "--overwrite"], "foreign"),
    "a path as name": (["--run-name", "../../etc"], "../../etc"),
    "models in a file": (["--models-dir", "a-file/models"], "a-file"),
    "models read-only": (["--models-dir", "/proc/models"], "/proc/models"),
    "logs read-only": (["--logs-dir", "/proc/logs", "--run-name", "l"], "/proc/logs"),
}


@pytest.mark.parametrize("name", TRAIN)
def test_train_refuses_what_it_cannot_do(name, folder, run_here):
    words, named = TRAIN[name]
    before = fingerprint(folder)
    assert_one_line(run_here("train.py", *words, cwd=folder), "train.py", named)
    assert fingerprint(folder) == before


EVALUATE = {
    "missing run": (["absent"], "absent"),
    "folder without a run": (["models/foreign"], "foreign"),
    "unfinished run": (["unfinished"], "--resume"),
    "corrupt config": (["corrupt-config"], "config.json"),
    "corrupt model": (["corrupt-model"], "model.keras"),
    "a model that unpacks to 9 GB": (["bomb"], "unpacks to more than"),
    "a model of another shape": (["other-shape"], "model.keras"),
    "no runs": (["--models-dir", "empty"], "empty"),
    "missing csv": (["small", "--csv", "absent.csv"], "absent.csv"),
    "too few prices": (["small", "--csv", "too-few.csv"], "too few"),
    "unknown spectrum": (["small", "--spectrum", "all"], "--spectrum"),
    "corrupt spectrum": (["corrupt-spectrum", "--spectrum", "density"], "spectrum.npz"),
    "unknown model": (["small", "--model", "first"], "first"),
}


@pytest.mark.parametrize("name", EVALUATE)
def test_evaluate_refuses_what_it_cannot_do(name, folder, run_here):
    words, named = EVALUATE[name]
    before = fingerprint(folder)
    assert_one_line(run_here("evaluate.py", *words, cwd=folder), "evaluate.py", named)
    assert fingerprint(folder) == before


LANDSCAPE = {
    "missing run": (["absent"], "absent"),
    "unfinished run": (["unfinished"], "--resume"),
    "diverged run": (["diverged"], "diverged"),
    "corrupt model": (["corrupt-model"], "model.keras"),
    "missing other run": (["small", "--with", "absent"], "absent"),
    "diverged other run": (["small", "--with", "diverged"], "diverged"),
    "the run itself": (["small", "--with", "models/small"], "--with must name another run"),
    "no kept weights": (["small", "--planes", "path"], "--keep-weights"),
    "damaged kept weights": (["corrupt-weights"], "epoch0000001.npy"),
    "unknown plane": (["small", "--planes", "random,eigne"], "'eigne'"),
    "a plane twice": (["small", "--planes", "eigen,eigen"], "eigen twice"),
    "an even grid": (["small", "--grid", "50"], "--grid"),
    "too fine a grid": (["small", "--grid", "1001"], "--grid"),
    "no distance": (["small", "--distance", "0"], "--distance"),
    "a distance that is none": (["small", "--distance", "nan"], "--distance"),
    "negative seed": (["small", "--seed", "-1"], "--seed"),
    "unknown model": (["small", "--model", "first"], "first"),
    "unknown flag": (["small", "--gird", "5"], "--grid"),
}


@pytest.mark.parametrize("name", LANDSCAPE)
def test_landscape_refuses_what_it_cannot_do(name, folder, run_here):
    words, named = LANDSCAPE[name]
    before = fingerprint(folder)
    answer = run_here("landscape", *words, cwd=folder)
    assert_one_line(answer, "python -m stock_rnn landscape", named)
    assert fingerprint(folder) == before


@pytest.mark.parametrize(
    ("script", "words", "named"),
    [
        ("train.py", *TRAIN["unknown flag"]),
        ("train.py", ["--csv", "negative.csv"], "line 9"),
        # It loads TensorFlow.
        pytest.param("evaluate.py", *EVALUATE["corrupt model"], marks=pytest.mark.zoo),
    ],
)
def test_a_real_process_ends_the_same_way(script, words, named, folder, run_script):
    answer = run_script(script, *words, cwd=folder)
    assert_one_line(answer, script, named)
    assert answer.stdout == ""


def test_without_a_network_the_line_advises_a_csv(folder, run_script):
    # A proxy that nobody listens at stands for a machine without a network.
    env = {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "STOCK_RNN_CACHE": str(folder / "cache"),
    }
    answer = run_script("train.py", "--symbol", "NO-SUCH", cwd=folder, env=env)
    assert_one_line(answer, "train.py", "Yahoo cannot be reached")
    assert "--csv" in answer.stderr


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("unsorted", [*ROWS[20:], *ROWS[:20]]),
        ("doubled-same", [*ROWS, ROWS[-1]]),
        ("nulls", [*ROWS, "2020-06-01,null", "2020-06-02,"]),
    ],
)
def test_rows_that_can_be_repaired_are_repaired_and_reported(name, rows, folder, run_here):
    (folder / f"{name}.csv").write_text(csv(*rows))
    words = ["--csv", f"{name}.csv", "--max-epoch", "1", "--hessian-every", "0", "--run-name", name]
    answer = run_here("train.py", *words, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    said = {"unsorted": "sorted", "doubled-same": "repeat", "nulls": "dropped 2"}[name]
    assert said in answer.stderr
    with np.load(folder / "models" / name / "prices.npz") as arrays:
        assert (np.diff(arrays["dates"]) > 0).all()
        assert len(arrays["close"]) == 40
