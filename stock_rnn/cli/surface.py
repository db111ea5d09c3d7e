"""`surface`: the paths of optimizers on a surface."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_rnn.cli._command import Parser, aligned, run_command
from stock_rnn.config import OPTIMIZERS, SECOND_ORDER, Config
from stock_rnn.errors import UserError
from stock_rnn.terminal import quiet_import

if TYPE_CHECKING:
    from stock_rnn.surface.surfaces import Surface

NAMES = ("two-minima", "saddle", "monkey-saddle", "rosenbrock", "beale")
FORMATS = ("gif", "mp4", "webm")

_LECTURE = "gd,momentum,adagrad,rmsprop,adam"

# More steps than an animation can show.
_MOST_STEPS = 100_000

# Relative to the size of the window, or of f in it: less is rounding.
_ROUNDING = 1e-15


def _parser(program: str = "python -m stock_rnn surface") -> Parser:
    parser = Parser(
        prog=program,
        description="Draw the paths of optimizers on a surface: a still and an animation, with "
        "the critical points by their kinds.",
    )
    parser.add_argument(
        "--surface",
        default="two-minima",
        help=f"{', '.join(NAMES)}, or a formula of x and y such as 'x**2 - y**2 + sin(x)'",
    )
    parser.add_argument(
        "--optimizers",
        default=_LECTURE,
        metavar="NAME,...",
        help=f"among {', '.join(OPTIMIZERS)}",
    )
    kept: dict[str, tuple[int, type, str, str]] = {
        "--start": (2, float, "X Y", "where they begin"),
        "--window": (4, float, "LEFT RIGHT BOTTOM TOP", "what is drawn"),
    }
    for name, (count, kind, words, text) in kept.items():
        parser.add_argument(
            name,
            nargs=count,
            type=kind,
            metavar=tuple(words.split()),
            default=argparse.SUPPRESS,
            help=f"{text} (default: the surface's)",
        )
    for name, kind, text in (
        ("--learning-rate", float, "of all optimizers"),
        ("--steps", int, "of each optimizer"),
    ):
        parser.add_argument(
            name, type=kind, default=argparse.SUPPRESS, help=f"{text} (default: the surface's)"
        )
    parser.add_argument(
        "--perturb-radius",
        type=float,
        default=0.0,
        help="norm of the noise on the gradient; newton and saddle-free-newton have none",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--format", choices=FORMATS, default="gif", help="of the animation")
    parser.add_argument("--out", type=Path, default=Path("surface"), help="folder of the pictures")
    return parser


def main(argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn surface") -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)
    return run_command(lambda: _draw(arguments), program)


def _draw(arguments: argparse.Namespace) -> None:
    optimizers = _optimizers(arguments.optimizers)
    # It checks both, as it does for a training.
    config = Config(perturb_radius=arguments.perturb_radius, seed=arguments.seed)
    with quiet_import():
        from stock_rnn.surface.paths import FAR, path
        from stock_rnn.surface.pictures import draw, refuse_format, save_animation, save_still
        from stock_rnn.surface.surfaces import critical_points, names_of

    refuse_format(arguments.format)
    surface = _surface(arguments)
    paths = {
        name: path(surface, name, perturb_radius=_radius(config, name), seed=config.seed)
        for name in optimizers
    }
    critical = critical_points(surface)
    still = arguments.out / f"{surface.name}.png"
    animation = arguments.out / f"{surface.name}.{arguments.format}"
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        save_still(still, draw(surface, paths, critical))
        save_animation(animation, surface, paths, critical)
    except OSError as error:
        raise UserError(
            f"cannot write the pictures to {arguments.out} ({error.strerror or error}): make room "
            "there, or name another folder by --out"
        ) from error
    rows = [["optimizer", "steps", "x", "y", "f"]]
    for name, points in paths.items():
        height = surface.at(points[-1]).loss()
        rows.append([name, str(len(points) - 1), *_shown(surface, points[-1], height)])
    print(aligned(rows))
    for name, points in paths.items():
        if (done := len(points) - 1) < surface.steps:
            print(
                f"{name} diverged after {done} of {surface.steps} steps: the next one ends over "
                f"{FAR:g} times as far out as the window"
            )
    for each, kind in zip(critical, names_of(critical), strict=True):
        x, y, f = _shown(surface, each.point, each.value)
        print(f"{kind} at ({x}, {y}), f = {f}")
    print(f"still      {still}\nanimation  {animation}")


def _shown(surface: Surface, point: Any, height: float) -> tuple[str, str, str]:
    """x, y and f with four digits; what rounding leaves of a zero as 0."""
    size = max(map(abs, surface.window))
    x, y, f = (
        "0" if abs(value) < _ROUNDING * scale else f"{value:.4g}"
        for value, scale in ((point[0], size), (point[1], size), (height, surface.scale))
    )
    return x, y, f


def _radius(config: Config, optimizer: str) -> float:
    """The noise of an optimizer: those of second order have none."""
    return 0.0 if optimizer in SECOND_ORDER else config.perturb_radius


def _optimizers(text: str) -> list[str]:
    """The optimizers of a list with commas.

    Raises:
        UserError: one is unknown or named twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in OPTIMIZERS:
            raise UserError(
                f"--optimizers must be among {', '.join(OPTIMIZERS)}. Received: {name!r}"
            )
        if names.count(name) > 1:
            raise UserError(f"--optimizers names {name} twice")
    return names


def _formula(text: str) -> Surface:
    """The surface of a formula.

    Raises:
        UserError: it is none; a single word is taken for a misspelled name.
    """
    from stock_rnn.surface.surfaces import surface_of

    try:
        return surface_of(text)
    except UserError:
        if not re.fullmatch(r"[A-Za-z][A-Za-z_-]*", text):
            raise
    close = difflib.get_close_matches(text.lower(), NAMES, n=1)
    meant = f"; did you mean {close[0]}?" if close else "."
    raise UserError(
        f"no surface {text!r}{meant} Named are {', '.join(NAMES)}; or give a formula of x and y"
    )


def _surface(arguments: argparse.Namespace) -> Surface:
    """The surface with what the flags change.

    Raises:
        UserError: a value is out of range, the start is not in the window, or the formula is none.
    """
    from stock_rnn.surface.surfaces import SURFACES

    given = vars(arguments)
    named = SURFACES.get(arguments.surface)
    surface = named or _formula(arguments.surface)
    changed: dict[str, Any] = {
        name: tuple(given[name]) if isinstance(given[name], list) else given[name]
        for name in ("start", "window", "learning_rate", "steps")
        if name in given
    }
    rate, steps = (changed.get(name, 1) for name in ("learning_rate", "steps"))
    if not 0 < rate < float("inf"):
        raise UserError(f"--learning-rate must be above 0 and finite. Received: {rate!r}")
    if not 1 <= steps <= _MOST_STEPS:
        raise UserError(f"--steps must be from 1 to {_MOST_STEPS:,}. Received: {steps}")
    surface = dataclasses.replace(surface, **changed)
    left, right, bottom, top = surface.window
    if not (-1e6 <= left < right <= 1e6 and -1e6 <= bottom < top <= 1e6):
        raise UserError(
            "--window must be LEFT below RIGHT and BOTTOM below TOP, within a million. "
            f"Received: {surface.window}"
        )
    if not (left <= surface.start[0] <= right and bottom <= surface.start[1] <= top):
        raise UserError(
            f"--start must be in the window {surface.window}. Received: {surface.start}"
        )
    if not surface.at(surface.start).is_finite():
        raise UserError(
            f"the surface or its slope is not finite at --start {surface.start}: give another one"
        )
    return surface
