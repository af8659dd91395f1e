import json
import platform
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from vitc import cli

pytestmark = pytest.mark.xdist_group("demo_run")


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["vitc", *shlex.split(command)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize(
    "command", ["--help", "compress --help", "export -h", "profile -h", "compare -h", "models -h", "doctor -h"]
)
def test_help_answers(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, monkeypatch) == 0
    assert "Usage" in capsys.readouterr().out


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version", monkeypatch) == 0
    assert capsys.readouterr().out.startswith("vitc ")


def test_a_dry_run_prints_the_recipe_and_the_files_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("compress demo --data demo:40 --threads 1 --dry-run", monkeypatch) == 0
    printed = capsys.readouterr().out
    recipe = tomllib.loads(printed)
    assert recipe["data"] == "demo:40"
    assert recipe["threads"] == 1
    for file in ("recipe.toml", "record.json", "model.pt2", "fp32/onnx", "onnx"):
        assert f"# runs/demo-int8/{file}" in printed
    assert not any(tmp_path.iterdir())


def test_flags_override_the_recipe_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text('model = "demo"\nseed = 3\nthreads = 1\n', encoding="utf-8")
    assert run(f"compress --recipe {tmp_path}/recipe.toml --seed 4 --dry-run", monkeypatch) == 0
    recipe = tomllib.loads(capsys.readouterr().out)
    assert (recipe["seed"], recipe["threads"]) == (4, 1)


def test_models_lists_what_matches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models 'd*mo'", monkeypatch) == 0
    assert capsys.readouterr().out.split() == ["demo"]


def test_doctor_names_the_engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", monkeypatch) == 0
    assert "onnxruntime" in capsys.readouterr().out


def test_doctor_speaks_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor --json", monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"what": "python", "found": platform.python_version(), "mend": ""} in found


def test_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    assert run("compress", monkeypatch) == 130
    assert capsys.readouterr().err.splitlines() == [
        "vitc: interrupted; the finished stages are kept, add --resume to go on"
    ]


def test_json_is_the_record_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], demo_run: Path
) -> None:
    files = " ".join(str(demo_run / name) for name in ("fp32/onnx/model.onnx", "onnx/model.onnx"))
    assert run(f"profile {files} --threads 1 --json -q", monkeypatch) == 0
    record = json.loads(capsys.readouterr().out)
    assert [m["speedup"] is None for m in record["measurements"]] == [True, False]


def test_a_quantized_program_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], demo_run: Path, tmp_path: Path
) -> None:
    assert run(f"compress {demo_run}/model.pt2 --out {tmp_path}/again -q", monkeypatch) == 2
    assert "int8 already" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
