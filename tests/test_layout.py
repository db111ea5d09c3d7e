"""The order of the stages holds in the code's own imports."""

import ast
import functools
import graphlib
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.samples import sampled

PACKAGE = ROOT / "stock_rnn"

# A stage may import itself and those before it. A stage is a folder, or a module at the
# top of the package.
ORDER = [
    "curvature",
    "errors", "files", "terminal", "plots", "page",
    "settings",
    "prices",
    "config",
    "data",
    "network",
    "optimizers",
    "surface",
    "training",
    "forecasting",
    "landscape",
    "workers",
    "backtest",
    "study",
    "cli",
    "__main__",
]  # fmt: skip

# curvature stands alone: it comes first, and nothing comes before it. Of the modules at the
# top these import little of the package.
ALONE = {
    "errors": set(),
    "files": set(),
    "settings": {"errors"},
    "config": {"errors", "settings", "prices"},
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "__pycache__" not in path.parts
}


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(node, *, inside_functions=True, type_checking=True):
    """The modules named in import statements, `from a import b` as a.b."""
    found = set()
    for child in ast.iter_child_nodes(node):
        delayed = isinstance(child, ast.FunctionDef) and not inside_functions
        if delayed or (is_type_checking(child) and not type_checking):
            continue
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "the package has absolute imports only"
            found |= {f"{child.module}.{alias.name}" for alias in child.names}
        else:
            found |= imports(child, inside_functions=inside_functions, type_checking=type_checking)
    return found


@functools.cache
def imports_of(path, **options):
    """`imports` of a file."""
    return imports(ast.parse(path.read_text(encoding="utf-8")), **options)


@functools.cache
def own_modules(path, **options):
    """Which modules of the package a file imports."""
    named = imports_of(path, **options)
    found = set()
    for name in named:
        # `from a.b import c` imports a.b.c if it is a module, else a.b.
        found.add(name if name in MODULES else name.rpartition(".")[0])
    return {name for name in found if name in MODULES}


def stage(module):
    """The stage of a module; the package itself has none."""
    return module.split(".")[1] if "." in module else None


def later_stages(module, path):
    """The stages that a module imports though they come after its own."""
    allowed = ORDER[: ORDER.index(stage(module)) + 1]
    # Imports inside functions are delayed, and those under TYPE_CHECKING are for mypy: the
    # code depends on what they name all the same.
    return {stage(other) for other in own_modules(path)} - {None, *allowed}


def test_every_module_belongs_to_a_stage():
    assert {stage(module) for module in MODULES} - {None} == set(ORDER)


@pytest.mark.parametrize("module", [m for m in MODULES if stage(m)])
def test_a_stage_imports_no_later_stage(module):
    assert later_stages(module, MODULES[module]) == set()


@pytest.mark.parametrize("module", ALONE)
def test_the_modules_below_all_stages_import_little(module):
    paths = [path for name, path in MODULES.items() if stage(name) == module]
    used = {stage(other) for path in paths for other in own_modules(path)}
    assert paths
    assert used - {None, module} <= ALONE[module]


def test_curvature_imports_nothing_from_the_rest_of_the_package():
    for module, path in MODULES.items():
        if stage(module) == "curvature":
            used = {other for other in own_modules(path) if stage(other) != "curvature"}
            assert used == set(), module


def test_cli_is_imported_by_main_alone():
    users = {
        module
        for module, path in MODULES.items()
        if stage(module) != "cli" and any(stage(other) == "cli" for other in own_modules(path))
    }
    assert users == {"stock_rnn.__main__"}


def test_no_modules_import_each_other_in_a_circle():
    # Imports inside functions run later, and those under TYPE_CHECKING never: they close no
    # circle when modules are loaded. A package is loaded before each of its modules, which is
    # no circle either: its `__init__` re-exports them.
    graph = {
        module: {
            other
            for other in own_modules(path, inside_functions=False, type_checking=False)
            if not module.startswith(f"{other}.")
        }
        for module, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("found", ["import tensorflow as tf", "from keras import ops"])
def test_the_reader_of_imports_sees_every_kind(found):
    top = found.split()[1]
    for code in (
        found,
        f"def f():\n    {found}",
        f"class A:\n    def f(self):\n        {found}",
        f"if TYPE_CHECKING:\n    {found}",
        f"try:\n    {found}\nexcept ImportError:\n    pass",
    ):
        assert any(name.split(".")[0] == top for name in imports(ast.parse(code))), code


@pytest.mark.parametrize(
    ("module", "line", "later"),
    [
        ("stock_rnn.config", "import stock_rnn.data.dataset", {"data"}),
        ("stock_rnn.prices", "from stock_rnn.data import StockDataSet", {"data"}),
        ("stock_rnn.data", "from stock_rnn.training import runs", {"training"}),
        ("stock_rnn.network", "def f():\n    import stock_rnn.optimizers", {"optimizers"}),
        ("stock_rnn.curvature", "from stock_rnn.files import write_json", {"files"}),
        ("stock_rnn.study", "from stock_rnn import cli", {"cli"}),
    ],
)
def test_an_import_of_a_later_stage_is_noticed(module, line, later, tmp_path):
    changed = tmp_path / "changed.py"
    changed.write_text(MODULES[module].read_text(encoding="utf-8") + "\n" + line + "\n")
    assert later_stages(module, changed) == later


def closure(module):
    """A module, and all of the package that it imports directly or through others."""
    reached, waiting = set(), [module]
    while waiting:
        if (name := waiting.pop()) not in reached:
            reached.add(name)
            waiting += own_modules(MODULES[name])
    return reached


@pytest.mark.parametrize("module", [m for m in MODULES if stage(m) in ("prices", "data")])
def test_prices_and_data_import_no_tensorflow(module):
    for reached in closure(module):
        named = imports_of(MODULES[reached])
        assert not {name.split(".")[0] for name in named} & {"tensorflow", "keras"}, reached


def loaded_after(code):
    """The names of the modules that are loaded after a piece of code, in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return set(answer.stdout.split())


def test_a_data_set_is_made_without_tensorflow():
    code = """
from stock_rnn.config import Config
from stock_rnn.data import dataset_of, prices_of
config = Config(source="bundled", period="1y")
assert len(dataset_of(config, prices_of(config))) > 200
"""
    loaded = loaded_after(code)
    assert "numpy" in loaded
    assert not loaded & {"tensorflow", "keras", "jax", "torch"}


def test_the_names_of_the_package_are_shown_without_loading_them():
    code = """
import stock_rnn
for name in ("Config", "train", "load_run", "StockDataSet"):
    assert name in dir(stock_rnn), name
"""
    assert not loaded_after(code) & {"tensorflow", "keras", "numpy", "pandas"}


BACKENDS = [
    (module, setting)
    for module in ("curvature", "network", "optimizers", "forecasting")
    for setting in ("variable", "file")
]


@pytest.mark.parametrize(
    ("module", "setting"), sampled(BACKENDS, [("curvature", "variable"), ("network", "file")])
)
def test_another_keras_backend_is_refused_in_one_line(module, setting, tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    env["KERAS_HOME"] = str(tmp_path)
    if setting == "variable":
        env["KERAS_BACKEND"] = "jax"
    else:
        (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    answer = subprocess.run(
        [sys.executable, "-c", f"import stock_rnn.{module}"],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        "ImportError: stock_rnn needs Keras on TensorFlow, and the Keras backend is 'jax': "
        "set the environment variable KERAS_BACKEND to tensorflow before starting Python"
    )


def test_a_command_under_another_keras_backend_ends_in_one_line(run_script, tmp_path):
    words = ["--period", "1y", "--max-epoch", 1]
    answer = run_script("train.py", *words, cwd=tmp_path, env={"KERAS_BACKEND": "torch"})
    assert answer.returncode == 2
    line = answer.stderr.splitlines()[-1]
    assert line.startswith("train.py: error: stock_rnn needs Keras on TensorFlow")
    assert "'torch'" in line
    assert "Traceback" not in answer.stderr
