"""A bare machine: without the optional libraries every module imports and every command explains itself."""

import json
import subprocess
import sys
from pathlib import Path

OPTIONAL = ["coremltools", "nncf", "onnxruntime", "openvino", "resvg_py", "tensorrt", "torch_pruning"]

SCRIPT = """
import importlib, io, json, runpy, sys
from contextlib import redirect_stderr, redirect_stdout

optional, modules = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(optional))  # None there means: not installed
failed = {}
for name in modules:
    try:
        importlib.import_module(name)
    except ImportError as missing:
        failed[name] = str(missing)


def answer(*words):
    sys.argv, said = ["vitc", *words], io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            runpy.run_module("vitc", run_name="__main__")
    except SystemExit as end:
        return end.code or 0, said.getvalue()
    return 0, said.getvalue()


helped = {}
if not failed:
    from typer.main import get_command
    from vitc.cli import app

    commands = sorted(get_command(app).commands)
    helped = {" ".join(words): answer(*words) for words in [["--help"], *([name, "--help"] for name in commands)]}
print(json.dumps({"failed": failed, "helped": helped}))
"""


def test_every_module_imports_and_every_command_helps(tmp_path: Path, sources: tuple[Path, ...]) -> None:
    dotted = [".".join(("vitc", *file.with_suffix("").parts)).removesuffix(".__init__") for file in sources]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([OPTIONAL, dotted]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert not answers["failed"], (
        f"these do not import; optional libraries are imported where used: {answers['failed']}"
    )
    unhelpful = {words: said for words, (code, said) in answers["helped"].items() if code or "Usage" not in said}
    assert not unhelpful, f"--help fails without the optional libraries: {unhelpful}"
    assert "compress --help" in answers["helped"]
