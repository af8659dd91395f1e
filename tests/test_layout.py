"""The layout of the house: its floors, its mirror, its tables. A message names the file and the mend."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

FLOORS = (
    "errors",
    "atomic",
    "versions",
    "layers",
    "libraries",
    "progress",
    "models",
    "compress",
    "loading",
    "variants",
    "export",
    "runtimes",
    "reports",
    "recipe",
    "recipe_file",
    "images",
    "journal",
    "bench",
    "clock",
    "scoring",
    "checks",
    "facts",
    "choices",
    "profiling",
    "runs",
    "reporting",
    "stages",
    "admission",
    "exports",
    "pipeline",
    "comparing",
    "flags",
    "console",
    "cli",
)
"""From the ground up: a floor imports from itself and from the floors below it."""

Trees = Mapping[Path, ast.Module]


def test_every_folder_of_source_is_packaged(checkout: Path, sources: tuple[Path, ...]) -> None:
    folders = {file.parent.relative_to(checkout) for file in checkout.glob("[a-z]*/__init__.py")}
    missing = sorted(map(str, folders - {file.parent for file in sources}))
    assert not missing, f"add to [tool.setuptools] packages in pyproject.toml: {missing}"


def test_no_import_runs_upwards(trees: Trees) -> None:
    wrong = [
        f"{file}:{line} imports from {target[0]}: move what both need to a floor below ({' < '.join(FLOORS)})"
        for file, tree in trees.items()
        for line, target in relative_imports(file, tree)
        if floor(target[0]) > floor(file.parts[0])
    ]
    assert not wrong, "\n".join(wrong)


def test_every_file_stands_on_a_floor(trees: Trees) -> None:
    homeless = [str(file) for file in trees if floor(file.parts[0]) == len(FLOORS) and not file.stem.startswith("__")]
    assert not homeless, f"add to FLOORS in tests/test_layout.py: {homeless}"


def test_reports_know_only_errors(trees: Trees) -> None:
    wrong = [
        f"{file}:{line} imports from {target[0]}: have the pipeline hand in what the report needs"
        for file, tree in trees.items()
        for line, target in relative_imports(file, tree)
        if file.parts[0] == "reports" and target[0] not in {"reports", "errors"}
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_tie_no_knot(trees: Trees) -> None:
    graph = {
        str(file): {str(found) for _, target in relative_imports(file, tree) if (found := module(target, trees))}
        - {str(file)}
        for file, tree in trees.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as knot:
        pytest.fail(f"these import each other: {' <- '.join(knot.args[1])}; move what they share to a file below them")


def test_no_source_imports_the_package_by_name(trees: Trees) -> None:
    wrong = [
        f"{file} imports vitc by name: say it relatively, as in `from ..errors import UserError`"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if "vitc" in {name.split(".")[0] for name in absolute_imports(node)}
    ]
    assert not wrong, "\n".join(wrong)


def test_every_source_has_its_test(checkout: Path, sources: tuple[Path, ...]) -> None:
    wanted = [mirror(file) for file in sources if not file.stem.startswith("__")]
    missing = [str(test) for test in wanted if not (checkout / test).is_file()]
    assert not missing, f"write {', '.join(missing)}"


def test_every_test_in_a_folder_has_its_source(tests: tuple[Path, ...], sources: tuple[Path, ...]) -> None:
    wanted = {mirror(file) for file in sources}
    lost = [str(test) for test in tests if test.parent != Path("tests") and test not in wanted]
    assert not lost, f"name them after the source that they test (test_init.py for __init__.py): {lost}"


def test_what_can_be_chosen_stands_in_its_table(trees: Trees) -> None:
    offered = [
        file
        for file, tree in trees.items()
        if (file.parts[0] == "compress" and has_class_with({"apply"}, tree))
        or (file.parts[0] == "export" and file.stem.startswith("to_"))
        or (file.parts[0] == "runtimes" and has_class_with({"__enter__", "run"}, tree))
    ]
    files = [file for file in offered if file.stem != "__init__"]
    tables = {file.parent: file.parent / "__init__.py" for file in files}
    listed = {module(target, trees) for table in tables.values() for _, target in relative_imports(table, trees[table])}
    missing = [f"{file}: give it a row in {tables[file.parent]}" for file in files if file not in listed]
    assert files, "no technique, target or runtime was found"
    assert not missing, "\n".join(missing)


def test_ci_runs_the_command_of_the_readme(checkout: Path) -> None:
    blocks = (checkout / "README.md").read_text("utf-8").split("```")[1::2]
    commands = [line for block in blocks for line in block.splitlines()[1:] if "-m pytest" in line]
    assert len(commands) == 1, f"the README's fenced code holds one command that runs the tests, not {len(commands)}"
    script = [line.strip() for line in (checkout / ".ci/run").read_text("utf-8").splitlines()]
    assert commands[0] in script, f".ci/run lacks the README's line: {commands[0]}"


def floor(name: str) -> int:
    """How high a root name stands; the public API and `__main__` stand on top."""
    name = name.removesuffix(".py")
    return FLOORS.index(name) if name in FLOORS else len(FLOORS)


def mirror(source: Path) -> Path:
    """Where the test of a source file lives."""
    return Path("tests") / source.with_name(f"test_{source.stem.strip('_')}.py")


def relative_imports(file: Path, tree: ast.Module) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and target of every relative import, as the path of names below the root."""
    folder = file.parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - node.level + 1]
            inner = node.module.split(".") if node.module else []
            yield from ((node.lineno, (*base, *inner, alias.name)) for alias in node.names)


def absolute_imports(node: ast.AST) -> list[str]:
    """The modules that one statement imports by their full names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def module(target: tuple[str, ...], trees: Trees) -> Path | None:
    """The file that an import reads: the target itself, or the module or package that holds the name."""
    names = "/".join(target), "/".join(target[:-1])
    files = (Path(f"./{name}{end}") for name in names for end in (".py", "/__init__.py"))
    return next((file for file in files if file in trees), None)


def has_class_with(methods: set[str], tree: ast.Module) -> bool:
    """Whether the file defines a class with these methods."""
    return any(
        methods <= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    )
