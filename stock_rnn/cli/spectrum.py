"""`spectrum`: the curvature of saved Keras models, whoever trained them."""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_rnn.cli._arrays import Examples, read_examples
from stock_rnn.cli._command import Parser, aligned, run_command
from stock_rnn.errors import UserError, writing_to
from stock_rnn.files import atomic_write, remove_old_part_files, write_arrays, write_json
from stock_rnn.terminal import quiet_import

if TYPE_CHECKING:
    from stock_rnn.curvature import SavedSpectrum

# Seconds between two lines of progress, where there is no terminal for a bar.
_PAUSE = 10.0


def _parser(program: str = "python -m stock_rnn spectrum") -> Parser:
    parser = Parser(
        prog=program,
        description="Measure the curvature of saved Keras models, one after the other: loss, "
        "gradient, and both ends of the Hessian with error bars. docs/spectrum.md explains the "
        "output.",
    )
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="models as Keras saves them (.keras)"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE",
        help=".npz file with the arrays x and y, examples first, and maybe sample_weight",
    )  # fmt: skip
    parser.add_argument(
        "--loss", required=True, metavar="NAME", help="name of a loss of Keras, such as mse"
    )
    parser.add_argument(
        "--from-logits", action="store_true", help="the models predict logits (cross-entropies)"
    )
    parser.add_argument(
        "--variables", metavar="GLOB", help="measure the block of these variables, by their paths"
    )
    parser.add_argument("--batch-size", type=int, help="examples a micro-batch: bounds the memory")
    parser.add_argument("--tol", type=float, default=1e-2, help="relative residual of an end")
    parser.add_argument("--max-matvecs", type=int, default=200, help="products a model at most")
    parser.add_argument(
        "--eps", type=float, help="gradient norm of a critical point; 1%% of the first model's"
    )
    parser.add_argument(
        "--gamma", type=float, help="what counts as curvature; 0.1%% of the first model's largest"
    )
    parser.add_argument("--density", action="store_true", help="the density of all eigenvalues too")
    parser.add_argument("--probes", type=int, default=10, help="random starts of a density")
    parser.add_argument("--steps", type=int, default=80, help="products of a start")
    parser.add_argument("--seed", type=int, default=0, help="of the random vectors")
    parser.add_argument(
        "--output", type=Path, default=Path("spectrum"), metavar="FOLDER",
        help="where results go; files of the same names are replaced",
    )  # fmt: skip
    return parser


def main(
    argv: Sequence[str] | None = None, *, program: str = "python -m stock_rnn spectrum"
) -> int:
    """Run the command; arguments and exit code as those of `train`."""
    arguments = _parser(program).parse(argv)
    return run_command(lambda: _measure(arguments), program)


def _measure(arguments: argparse.Namespace) -> None:
    _check(arguments)
    examples = read_examples(arguments.data)
    with quiet_import():
        # For what it does: Keras loads models by the layers that it knows, and this registers ours.
        import stock_rnn.network  # noqa: F401
        from stock_rnn.curvature import figures
        from stock_rnn.curvature.tracking.checkpoints import classified
        from stock_rnn.plots import write_svg_and_png
    results = classified(_spectra(arguments, examples), eps=arguments.eps, gamma=arguments.gamma)
    # Before the files: a full disk takes no result.
    print(aligned([["file", "parameters", "loss", "gradient norm", "λ_min", "λ_max", "kind"],
                   *map(_cells, results)], left=["kind"]))  # fmt: skip
    title = f"{arguments.loss} over {len(examples.x):,} examples of {arguments.data.name}"
    drawn = {"spectrum": figures.checkpoints_figure(results, title=title)}
    for k, each in enumerate(results, 1):
        if each.density is not None:
            name = f"{each.path.name}: {title}"
            drawn[f"density_{k}"] = figures.density_figure(
                each.density, extremes=each.extremes, title=name
            )
    folder = arguments.output
    with writing_to(folder, "make room there, or name another folder by --output"):
        folder.mkdir(parents=True, exist_ok=True)
        remove_old_part_files(folder)
        files = _write_numbers(folder, arguments, results)
        for name, figure in drawn.items():
            files += write_svg_and_png(folder / name, figure)
    print("\n".join(map(str, files)))


def _check(arguments: argparse.Namespace) -> None:
    """Check the numbers, and that results can be written, before anything is loaded.

    Raises:
        UserError: a number is out of range, or the folder cannot be written.
    """
    for flag, least in (("batch_size", 1), ("max_matvecs", 4), ("probes", 1), ("steps", 1),
                        ("seed", 0)):  # fmt: skip
        value = getattr(arguments, flag)
        if value is not None and value < least:
            name = flag.replace("_", "-")
            raise UserError(f"--{name} must be at least {least}. Received: {value}")
    if not 0 < arguments.tol < 1:
        raise UserError(f"--tol must be above 0 and below 1. Received: {arguments.tol}")
    for flag in ("eps", "gamma"):
        value = getattr(arguments, flag)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"--{flag} must be above 0 and finite. Received: {value}")
    folder = arguments.output
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise UserError(f"cannot write to {folder}; name another folder by --output")


def _spectra(arguments: argparse.Namespace, examples: Examples) -> list[SavedSpectrum]:
    """What is measured of all models.

    Raises:
        UserError: a model cannot be loaded or measured, or does not fit the data.
    """
    from stock_rnn.cli._losses import named_loss
    from stock_rnn.curvature import SavedModelError, spectra_of

    density = {"probes": arguments.probes, "steps": arguments.steps, "seed": arguments.seed}
    most = arguments.max_matvecs + arguments.density * arguments.probes * arguments.steps
    loss = named_loss(arguments.loss, examples.y, from_logits=arguments.from_logits)
    progress = _Progress(len(arguments.models), most)
    try:
        return spectra_of(
            arguments.models,
            None,
            examples.x,
            examples.y,
            loss=loss,
            sample_weight=examples.sample_weight,
            batch_size=arguments.batch_size,
            variables=arguments.variables,
            tol=arguments.tol,
            max_matvecs=arguments.max_matvecs,
            density=density if arguments.density else None,
            seed=arguments.seed,
            progress=progress,
        )
    except SavedModelError as error:
        raise UserError(str(error)) from error
    finally:
        progress.close()


class _Progress:
    """How far the measuring is: a bar on a terminal, a line now and then elsewhere.

    Args:
        files: to be measured.
        most: products that a file may take.
    """

    def __init__(self, files: int, most: int) -> None:
        import tqdm

        self._files, self._most = files, most
        self._began = self._said = time.monotonic()
        self._done = self._before = self._now = 0
        self._bar = tqdm.tqdm(total=files, unit="model", disable=not sys.stderr.isatty())
        self._interval = tqdm.tqdm.format_interval

    def __call__(self, done: int, products: int) -> None:
        if done > self._done:
            self._before += self._now
            self._bar.update(done - self._done)
        self._done, self._now = done, products
        self._bar.set_postfix_str(f"{products:,} products", refresh=False)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= _PAUSE:
            self._said = now
            print(
                f"model {done + 1} of {self._files}: {products:,} products, "
                f"about {self._interval(self._left(now))} left",
                file=sys.stderr,
            )

    def _left(self, now: float) -> float:
        """Seconds, from what the models so far took; of the first one, the most it may."""
        each = self._before / self._done if self._done else self._most
        made = self._before + self._now
        return max(0.0, each * self._files - made) * (now - self._began) / made

    def close(self) -> None:
        """End the bar's line."""
        self._bar.close()


def _cells(each: SavedSpectrum) -> list[str]:
    ends = each.extremes
    bars = [residual + ends.rounding for residual in ends.residuals]
    return [
        str(each.path),
        f"{each.parameters:,}",
        f"{each.loss:.4g}",
        f"{each.gradient_norm:.3g}",
        *(
            f"{end:+.4g} ± {bar:.1g}" if math.isfinite(end) else "nan"
            for end, bar in zip(ends.eigenvalues, bars, strict=True)
        ),
        each.kind or "-",
    ]


def _row(each: SavedSpectrum) -> dict[str, Any]:
    """All numbers of a model; None for what is not finite."""
    ends = each.extremes
    numbers = {
        "loss": each.loss,
        "gradient_norm": each.gradient_norm,
        "lambda_min": ends.lambda_min,
        "residual_min": ends.residual_min,
        "lambda_max": ends.lambda_max,
        "residual_max": ends.residual_max,
        "rounding": ends.rounding,
        "curvature_along_gradient": each.measurement.curvature_along_gradient,
        "seconds": each.measurement.seconds,
    }
    return {
        "file": str(each.path),
        **{name: float(n) if math.isfinite(n) else None for name, n in numbers.items()},
        "matvecs": each.measurement.matvecs,
        "converged": bool(ends.converged),
        "verified": bool(ends.verified),
        "resolved_negative": bool(ends.resolved_negative),
        "certified_negative": bool(ends.certified_negative),
        "kind": each.kind,
        "reason": each.measurement.reason or None,
        "parameters": each.parameters,
        "examples": each.examples,
    }


def _write_numbers(
    folder: Path, arguments: argparse.Namespace, results: Sequence[SavedSpectrum]
) -> list[Path]:
    files = [folder / "spectrum.json", folder / "spectrum.csv"]
    rows = [_row(each) for each in results]
    about = {"loss": arguments.loss, "data": str(arguments.data), "models": rows}
    write_json(files[0], about)
    with atomic_write(files[1]) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    if arguments.density:
        files.append(folder / "density.npz")
        write_arrays(files[-1], {
            f"{what}_{k}": getattr(each.density, what)
            for k, each in enumerate(results, 1)
            if each.density is not None
            for what in ("grid", "density", "density_error")
        })  # fmt: skip
    return files
