"""What no linter holds: short files and functions, names that say something, failures that are named."""

import ast
from collections.abc import Mapping
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 300, 60
VAGUE = {"util", "utils", "common", "helper", "helpers", "misc"}

Trees = Mapping[Path, ast.Module]


def test_files_are_short(checkout: Path, sources: tuple[Path, ...], tests: tuple[Path, ...]) -> None:
    lengths = {file: len((checkout / file).read_text("utf-8").splitlines()) for file in (*sources, *tests)}
    long = [f"{file} has {length} lines: split it" for file, length in lengths.items() if length > FILE_LINES]
    assert not long, "\n".join(long)


def test_functions_are_short(checkout: Path, sources: tuple[Path, ...], tests: tuple[Path, ...]) -> None:
    long = [
        f"{file}:{node.lineno} {node.name} has {length} lines: split it"
        for file in (*sources, *tests)
        for node in ast.walk(ast.parse((checkout / file).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and (length := lines_of(node)) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_names_say_what_is_inside(sources: tuple[Path, ...], tests: tuple[Path, ...]) -> None:
    vague = [
        str(file) for file in (*sources, *tests) for part in file.with_suffix("").parts if VAGUE & set(part.split("_"))
    ]
    assert not vague, f"name them after what they do: {vague}"


def test_failures_are_named_and_nothing_is_a_stub(trees: Trees) -> None:
    wrong = [
        f"{file}:{node.lineno} {complaint}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt | ast.expr | ast.ExceptHandler) and (complaint := complain(node))
    ]
    assert not wrong, "\n".join(wrong)


def lines_of(node: ast.FunctionDef) -> int:
    """Lines of a function, from `def` to its end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def complain(node: ast.AST) -> str:
    """What is wrong with a statement or an expression; nothing for nearly all of them."""
    match node:
        case ast.ExceptHandler(type=None) | ast.ExceptHandler(type=ast.Name(id="Exception")):
            return "catches everything: name the errors that are expected"
        case ast.ExceptHandler(type=ast.Tuple(elts=names)) if any(ast.unparse(name) == "Exception" for name in names):
            return "catches everything: name the errors that are expected"
        case ast.ExceptHandler(type=ast.Name(id="BaseException"), body=[*_, last]) if ast.unparse(last) != "raise":
            return "swallows even interrupts: end with `raise`"
        case ast.Name(id="NotImplementedError"):
            return "is a stub: build it, or do not offer it"
        case ast.Assert(test=test) if not narrows(test):
            return "asserts: raise UserError for a user's mistake, assert only narrows types"
    return ""


def narrows(test: ast.expr) -> bool:
    """Whether an assertion only tells the type checker what is known."""
    match test:
        case ast.Call(func=ast.Name(id="isinstance")) | ast.Compare(ops=[ast.IsNot()]):
            return True
    return False
