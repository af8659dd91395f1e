"""The program of a worker is small by itself, and ends when nobody can ask any more."""

import ast
import json
import subprocess
import sys
from pathlib import Path

from vitc import errors
from vitc.runtimes.worker import PROGRAM


def imported(tree: ast.Module) -> set[str]:
    """The packages that a file imports."""
    found = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    found += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in found}


def test_it_imports_nothing_but_the_standard_library() -> None:
    assert imported(ast.parse(PROGRAM.read_text("utf-8"))) <= sys.stdlib_module_names


def test_it_answers_line_by_line_and_ends_with_its_input() -> None:
    job = {"path": sys.path, "module": "pathlib", "name": "Path", "args": ["a", "b"], "cores": []}
    process = subprocess.Popen(
        [sys.executable, "-P", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({**job, "errors": errors.__name__}) + "\n")
    process.stdin.write(json.dumps({"method": "as_posix", "args": []}) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == {"value": Path("a/b").as_posix()}
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()
