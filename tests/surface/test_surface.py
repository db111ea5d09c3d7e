"""The lecture's picture: formulas, critical points, paths, frames."""

import dataclasses
import logging
import sys

import imageio_ffmpeg
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from stock_rnn.cli.surface import FORMATS, NAMES, _shown, main
from stock_rnn.config import OPTIMIZERS
from stock_rnn.errors import UserError
from stock_rnn.surface import pictures
from stock_rnn.surface.formula import Formula
from stock_rnn.surface.paths import path
from stock_rnn.surface.surfaces import (
    SURFACES,
    CriticalPointAt,
    critical_points,
    names_of,
    surface_of,
)

pytestmark = pytest.mark.pictures

LECTURE = ("gd", "momentum", "adagrad", "rmsprop", "adam")


def test_a_formula_is_what_it_says():
    x, y = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 4))
    found = Formula("-(x - 2*y)**3 / 4 + sin(pi*x)*exp(-y) + sqrt(abs(x))^2 - +log(y)")(x, y)
    expected = -((x - 2 * y) ** 3) / 4 + np.sin(np.pi * x) * np.exp(-y) + x - np.log(y)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(Formula("3")(x, y).numpy(), np.full((3, 4), 3.0))


HOSTILE = [
    "", " ", "z", "x**", "x; y", "x\ny", "x = 1", "sin", "sin()", "sin(x, y)", "log(x, name=y)",
    "1j*x", "x == y", "x < y", "x if x else y", "not x", "x // y", "x % y", "x << 9", "x @ y",
    "'a'*10**9", "'a' * 999999999", "f'{x}'", "b'a'", "True", "None", "...", "[x]*10**9", "(x, y)",
    "{x: y}", "[x for x in y]", "lambda: x", "x[0]", "x.numpy()", "x.__class__", "().__class__",
    "__import__('os').system('touch hacked')", "open('hacked', 'w')", "eval('x')", "exec('x')",
    "print(x)", "exit()", "globals()", "(x := 1)", "yield x", "await x", "import os",
    "("*250 + "x" + ")"*40, "-"*299 + "x" + "-", "x" * 301, "\0", "∂",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
def test_what_is_no_formula_is_refused_in_a_line(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        Formula(text)
    assert "\n" not in " ".join(str(caught.value).split())
    assert list(tmp_path.iterdir()) == []


def test_numbers_too_large_take_no_time():
    assert Formula("9**9**9**9**9")(1.0, 1.0).numpy() == np.inf


MINIMUM, SADDLE = "minimum", "strict saddle"
ROOTS = np.sort(np.roots([4, 0, -4, 0.3]).real)
DEEP = 15 / 8
CRITICAL = {
    "two-minima": [(ROOTS[0], 0, MINIMUM), (ROOTS[1], 0, SADDLE), (ROOTS[2], 0, MINIMUM)],
    "saddle": [(0, -np.sqrt(2), MINIMUM), (0, 0, SADDLE), (0, np.sqrt(2), MINIMUM)],
    # The Hessian of a monkey saddle is zero.
    "monkey-saddle": [
        (-2 * DEEP, 0, MINIMUM), (0, 0, "flat"),
        (DEEP, -DEEP * np.sqrt(3), MINIMUM), (DEEP, DEEP * np.sqrt(3), MINIMUM),
    ],
    "rosenbrock": [(1, 1, MINIMUM)],
    "beale": [(0, 1, SADDLE), (3, 0.5, MINIMUM)],
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_critical_points_are_those_of_the_closed_form(name):
    found = critical_points(SURFACES[name])
    assert [each.kind for each in found] == [kind for *_, kind in CRITICAL[name]]
    points = [each.point for each in found]
    np.testing.assert_allclose(points, [point for *point, _ in CRITICAL[name]], atol=1e-3)


def test_a_surface_without_critical_points_and_one_of_them_alone():
    assert critical_points(surface_of("x + y")) == []
    assert {each.kind for each in critical_points(surface_of("1"))} == {"flat"}


def test_of_minima_of_two_heights_the_lowest_is_named():
    def names(*heights):
        found = [CriticalPointAt(np.zeros(2), height, MINIMUM) for height in heights]
        return names_of([*found, CriticalPointAt(np.zeros(2), -9.0, SADDLE)])

    assert names(0.3, -0.3, 0.3) == [MINIMUM, "lowest minimum", MINIMUM, SADDLE]
    assert names(-1.0, -1.0 - 1e-12) == [MINIMUM, MINIMUM, SADDLE]
    assert names(0.3) == [MINIMUM, SADDLE]
    assert names() == [SADDLE]


def test_a_point_with_a_curvature_of_zero_is_not_called_a_minimum():
    # It falls along y: no minimum, and the Hessian cannot tell.
    (found,) = critical_points(surface_of("x**2 - y**4"))
    assert found.kind == "near local minimum"


def test_the_global_minimum_is_on_the_left_and_momentum_finds_it():
    surface = SURFACES["two-minima"]
    left, _, right = critical_points(surface)
    assert left.value < right.value
    np.testing.assert_allclose(path(surface, "momentum")[-1], left.point, atol=1e-2)
    np.testing.assert_allclose(path(surface, "gd")[-1], right.point, atol=1e-2)


def test_a_path_is_the_optimizers():
    w = np.array([1.5, 0.001])
    for point in path(SURFACES["saddle"], "gd")[:50]:
        np.testing.assert_allclose(point, w, rtol=1e-5)
        w = w - 0.03 * np.array([2 * w[0], -2 * w[1] + w[1] ** 3])


def test_newton_goes_to_the_saddle_and_saddle_free_newton_to_a_minimum():
    surface = SURFACES["saddle"]
    np.testing.assert_allclose(path(surface, "newton")[-1], [0, 0], atol=1e-6)
    np.testing.assert_allclose(path(surface, "saddle-free-newton")[-1], [0, 2**0.5], atol=1e-3)


def test_a_path_that_diverges_ends():
    points = path(surface_of("-exp(x**2) + 0*y"), "gd")
    assert 1 < len(points) < 20
    assert np.isfinite(points).all()


def test_noise_is_that_of_the_seed():
    one, same, other = (
        path(SURFACES["saddle"], "gd", perturb_radius=0.1, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_same_frames_in_the_lectures_colours(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_FRAMES", 4)
    surface = SURFACES["two-minima"]
    paths = {name: path(surface, name) for name in LECTURE}
    critical = critical_points(surface)
    for name in "ab":
        pictures.save_animation(tmp_path / f"{name}.gif", surface, paths, critical)
        pictures.save_still(tmp_path / f"{name}.png", pictures.draw(surface, paths, critical))
    for suffix in ("gif", "png"):
        one, other = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert one == other
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 4
    still = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    for colour in ("cyan", "magenta", "white", "limegreen", "blue"):
        exact = np.round(np.array(to_rgb(colour)) * 255)
        assert (np.abs(still - exact).max(1) <= 1).sum() > 50, colour
    assert {"gif"} == {path.suffix[1:] for path in tmp_path.glob("a.[!p]*")}


def test_of_paths_along_each_other_all_are_seen():
    line = np.stack([np.zeros(50), np.linspace(-1, 1, 50)], axis=1)
    figure = pictures.draw(SURFACES["saddle"], dict.fromkeys(LECTURE, line), [])
    for markers in figure.axes[0].lines[1::3]:
        markers.set_visible(False)
    FigureCanvasAgg(figure).draw()
    # The middle of the line, without its ends and without the legend.
    middle = figure.axes[0].transData.transform((0, 0)).astype(int)
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3]
    shown = pixels[middle[1] - 80 : middle[1] + 80, middle[0] - 4 : middle[0] + 5].reshape(-1, 3)
    for name in LECTURE:
        exact = np.array(to_rgb(pictures.COLOURS[name])) * 255
        assert (np.abs(shown - exact).max(1) <= 1).sum() > 15, name


def test_critical_points_lie_above_the_hollow_ends_of_the_paths():
    surface = SURFACES["two-minima"]
    critical = critical_points(surface)
    paths = {name: path(surface, name) for name in ("gd", "adam")}
    lines = pictures.draw(surface, paths, critical).axes[0].lines
    stars, ends = lines[: len(critical)], lines[len(critical) + 2 :: 3]
    assert [line.get_markerfacecolor() for line in ends] == ["none", "none"]
    assert {line.get_marker() for line in ends} == {"o", "v"}
    for star in stars:
        assert all(star.zorder > end.zorder for end in ends)
        assert all(star.get_markersize() > 0.6 * end.get_markersize() for end in ends)


def test_every_optimizer_has_a_colour_and_a_marker_and_every_name_a_surface():
    assert set(pictures.COLOURS) == set(OPTIMIZERS)
    assert len(set(pictures.COLOURS.values())) == len(OPTIMIZERS)
    assert set(pictures.MARKERS) == set(OPTIMIZERS)
    assert len(set(pictures.MARKERS.values())) == len(OPTIMIZERS)
    assert tuple(SURFACES) == NAMES
    assert tuple(pictures.WRITERS) == FORMATS


@pytest.fixture
def says(tmp_path, monkeypatch, capsys):
    """Run `surface WORDS...` with few frames: the lines of stdout."""
    monkeypatch.setattr(pictures, "_FRAMES", 1)

    def run(*words):
        assert main([*words, "--out", str(tmp_path)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_a_path_that_diverges_is_told(says):
    lines = says("--learning-rate", "5", "--optimizers", "gd,adagrad", "--steps", "3")
    assert [line for line in lines if "diverged" in line] == [
        "gd diverged after 1 of 3 steps: the next one ends over 100 times as far out as the window"
    ]


def test_what_rounding_leaves_of_a_zero_is_shown_as_zero():
    surface = SURFACES["monkey-saddle"]
    assert _shown(surface, (-1.7e-65, 1e-9), -5.2e-195) == ("0", "1e-09", "0")


def test_tensorflow_has_nothing_to_warn_of():
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    surface = dataclasses.replace(SURFACES["two-minima"], steps=3)
    try:
        for name in (*LECTURE, "nesterov"):
            path(surface, name)
    finally:
        logger.removeHandler(handler)
    assert told == []


@pytest.mark.parametrize(("text", "meant"), [("rosenbrok", "rosenbrock"), ("sadle", "saddle")])
def test_a_misspelled_surface_is_told_the_closest_name(text, meant, capsys):
    assert main(["--surface", text]) == 2
    line = capsys.readouterr().err
    assert f"no surface {text!r}; did you mean {meant}? Named are two-minima, " in line


@pytest.fixture
def two_frames(monkeypatch):
    """What a short animation is made of."""
    monkeypatch.setattr(pictures, "_FRAMES", 2)
    monkeypatch.setattr(pictures, "_POINTS", 20)
    return SURFACES["saddle"], {"gd": np.array([[1.0, 0.5], [0.5, 0.7]])}, []


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_an_animation_is_a_film_of_its_frames(kind, two_frames, tmp_path):
    file = tmp_path / f"a.{kind}"
    pictures.refuse_format(kind)
    pictures.save_animation(file, *two_frames)
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(file)
    assert (frames, seconds) == (2, pytest.approx(2 / 12, abs=0.02))
    assert list(tmp_path.iterdir()) == [file]


def test_a_program_that_fails_is_told_in_one_line(two_frames, tmp_path):
    with (
        mpl.rc_context({"animation.ffmpeg_path": "false"}),
        pytest.raises(UserError, match=r"ffmpeg could not write .*a\.mp4 .*: take --format gif"),
    ):
        pictures.save_animation(tmp_path / "a.mp4", *two_frames)
    assert list(tmp_path.iterdir()) == []


def test_without_the_program_the_line_says_where_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    pictures.refuse_format("gif")
    with (
        mpl.rc_context({"animation.ffmpeg_path": "no-such-program"}),
        pytest.raises(UserError, match=r"--format webm needs the program ffmpeg: .*\[video\]"),
    ):
        pictures.refuse_format("webm")
