"""`python reproduce.py` as a process."""

import html.parser
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from matplotlib.image import imread

from tests.conftest import ROOT

SPAN = ("--period", "1y")


@pytest.fixture(scope="module")
def quick(run_script, tmp_path_factory):
    """The quick study, twice from nothing, on a short span; the second draws on the other core."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        answer = run_script("reproduce.py", "--quick", *SPAN, cwd=folder, timeout=900)
        assert answer.returncode == 0, answer.stderr
    return folders[0] / "results", folders[1] / "results", answer


def test_help_needs_no_tensorflow(run_script, tmp_path):
    answer = run_script(
        "reproduce.py", "--help", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}
    )
    assert answer.returncode == 0
    assert "--from-results" in answer.stdout
    for slow in ("tensorflow", "keras", "pandas", "scipy", "matplotlib", "distributed"):
        assert f" {slow}\n" not in answer.stderr


@pytest.mark.slow
def test_two_quick_studies_write_the_same_files(quick):
    first, second, _ = quick
    files = [*first.glob("*.csv"), *first.glob("tables/*.csv"), *first.glob("figures/*.svg")]
    files += [first / "verdicts.json", first / "verdicts.md", first / "evidence.json"]
    assert len(files) > 15
    for file in files:
        assert file.read_bytes() == (second / file.relative_to(first)).read_bytes(), file.name


@pytest.mark.slow
def test_too_few_seeds_decide_nothing_and_say_so(quick):
    first, _, answer = quick
    content = json.loads((first / "verdicts.json").read_text())
    for verdicts in content["variants"].values():
        assert {verdict["verdict"] for verdict in verdicts} == {"undecided"}
    assert "over 2 seeds" in answer.stdout
    assert "10 are needed" in answer.stdout
    assert "19 undecided" in answer.stdout


@pytest.mark.slow
def test_every_table_and_figure_is_traced_to_runs_that_are_there(quick):
    first, _, _ = quick
    evidence = json.loads((first / "evidence.json").read_text())
    kept = {path.stem for path in (first / "runs").glob("*.json")}
    rows = pd.read_csv(first / "runs.csv")
    assert set(rows["run"]) == kept
    for name, keys in evidence.items():
        if name.startswith(("tables/", "figures/")):
            assert (first / name).exists()
            assert keys
        assert set(keys) <= kept, name
    drawn = {f"figures/{path.name}" for path in first.glob("figures/*.svg")}
    assert drawn <= evidence.keys()


@pytest.mark.slow
def test_tables_have_the_reports_numbers_and_persistence(quick):
    first, _, _ = quick
    table = pd.read_csv(first / "tables" / "table_5.2.csv")
    rmsprop = table[(table["optimizer"] == "rmsprop") & (table["dropout"] == "off")]
    assert dict(zip(rmsprop["set"], rmsprop["report"], strict=True)) == {
        "train": 0.0001,
        "test": 0.00092,
    }
    assert table[table["optimizer"] == "sgd"]["report"].isna().all()
    runs = pd.read_csv(first / "runs.csv").set_index("run")
    for _, row in rmsprop.iterrows():
        of = runs.loc[row["runs"].split()]
        assert row["mean"] == pytest.approx(of[f"{row['set']}_loss"].mean())
        assert row["persistence"] == pytest.approx(of[f"persistence_{row['set']}"].iloc[0])


@pytest.mark.slow
def test_figures_are_pictures_of_a_readable_size(quick):
    first, _, _ = quick
    for name in ("figure_5.1", "figure_5.4", "eigenvalues_appendix_1x32", "escapes"):
        picture = imread(first / "figures" / f"{name}.png")
        assert picture.shape[1] >= 800
        assert len({tuple(pixel) for pixel in picture.reshape(-1, picture.shape[2])[::97]}) > 5


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside, self.ids, self.targets = [], set(), []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        for name in ("src", "href"):
            value = attrs.get(name, "")
            if value.startswith("#"):
                self.targets.append(value[1:])
            elif value and not value.startswith("data:"):
                self.outside.append(value)
        if tag == "link":
            self.outside.append("link")


@pytest.mark.slow
def test_the_page_needs_nothing_beside_itself_and_its_links_lead_somewhere(quick):
    first, _, _ = quick
    page = _Page()
    page.feed((first / "report.html").read_text(encoding="utf-8"))
    assert page.outside == []
    assert page.targets
    assert set(page.targets) <= page.ids
    for claim in ("sgd-test-loss-tenfold", "gradient-falls-at-the-rate", "figure-escapes"):
        assert claim in page.ids


@pytest.mark.slow
def test_hparams_of_every_run(quick):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    first, _, _ = quick
    rows = pd.read_csv(first / "runs.csv")
    logs = {path.name for path in (first / "logs").iterdir()}
    assert logs == set(rows["run"])
    row = rows[rows["start"] == "drawn"].iloc[0]
    events = EventAccumulator(str(first / "logs" / row["run"]))
    events.Reload()
    plugin = events.summary_metadata["_hparams_/session_start_info"].plugin_data
    assert plugin.plugin_name == "hparams"
    last = float(make_ndarray(events.Tensors("test_loss")[-1].tensor_proto))
    assert last == pytest.approx(row["test_loss"], rel=1e-6)


@pytest.mark.slow
def test_drawing_again_trains_nothing_and_changes_nothing(quick, run_script, tmp_path):
    first, _, _ = quick
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    (copy / "report.html").unlink()
    shutil.rmtree(copy / "figures")
    before = {path.name: path.stat().st_mtime_ns for path in (copy / "runs").iterdir()}
    answer = run_script("reproduce.py", "--from-results", copy, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert {path.name: path.stat().st_mtime_ns for path in (copy / "runs").iterdir()} == before
    for name in ("report.html", "figures/escapes.svg", "runs.csv", "tables/escapes.csv"):
        assert (copy / name).read_bytes() == (first / name).read_bytes()


@pytest.mark.slow
def test_a_study_that_lacks_runs_is_drawn_with_what_is_there(quick, run_script, tmp_path):
    first, _, _ = quick
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    for path in sorted((copy / "runs").glob("*.json"))[::2]:
        path.unlink()
    answer = run_script("reproduce.py", "--from-results", copy, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "runs are not finished and left out" in answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_is_stopped_leaves_no_process_and_keeps_what_is_finished(how, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "reproduce.py"), "--quick", *SPAN, "--jobs", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    runs = tmp_path / "results" / "runs"
    _wait(lambda: list(runs.glob("*.json")), seconds=240)
    # Ctrl-C goes to all processes of the terminal, a kill to one.
    (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
    _, said = process.communicate(timeout=30)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; the same command goes on where it stopped" in said.splitlines()[-1]
        assert "Traceback" not in said
    _wait(lambda: not _alive(process.pid), seconds=30)
    for path in runs.glob("*.json"):
        json.loads(path.read_text())


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(holds, seconds):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--from-results", "nowhere"), "nowhere holds no study: run python reproduce.py"),
        (("--seeds", "0"), "--seeds must be at least 1. Received: 0"),
        (("--jobs", "-1"), "--jobs must be at least 1. Received: -1"),
        (("--protocols", "appendix,tixt"), "--protocols must be of appendix, text. Received:"),
        (("--seeds", "many"), "argument --seeds: invalid int value: 'many'"),
        (("--csv", "nowhere.csv"), "nowhere.csv"),
        (("--quick", "--seeds", "5"), "--quick leaves nothing to --seeds: give one or the other"),
        (("--from-results", "results", "--symbol", "^IXIC"), "--from-results leaves nothing to"),
        (("--start", "2018-12-27", "--end", "2018-12-31", "--quick"), "too few"),
    ],
)
def test_what_a_user_can_mend_is_one_line(words, line, run_script, tmp_path):
    answer = run_script("reproduce.py", *words, cwd=tmp_path)
    assert answer.returncode == 2
    (said,) = answer.stderr.strip().splitlines()[-1:]
    assert said.startswith("reproduce.py: error: ")
    assert line in said
    assert "Traceback" not in answer.stderr


def test_a_study_file_with_a_path_for_a_key_is_refused(run_script, tmp_path):
    content = {"command": "", "data": {}, "runs": ["../../etc/passwd"]}
    (tmp_path / "study.json").write_text(json.dumps(content))
    answer = run_script("reproduce.py", "--from-results", tmp_path, cwd=tmp_path)
    assert answer.returncode == 2
    assert "study.json is damaged" in answer.stderr
