"""The script that makes the committed results: its runs are recipes, and what it writes is what was committed."""

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from vitc import cli, reporting
from vitc.reports.page import verdicts
from vitc.reports.table import markdown


@pytest.fixture(scope="module")
def results(checkout: Path) -> Any:
    spec = importlib.util.spec_from_file_location("results", checkout / "scripts/results.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def committed(checkout: Path, tmp_path: Path) -> Path:
    """A folder with the committed runs, and nothing else."""
    for file in (checkout / "reports/results").glob("*/record.json"):
        (tmp_path / file.parent.name).mkdir()
        shutil.copy(file, tmp_path / file.parent.name)
    return tmp_path


def test_every_run_is_a_recipe(results: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for _, words in results.RUNS.values():
        monkeypatch.setattr(sys, "argv", ["vitc", "compress", *words, "--dry-run"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, words


def test_the_table_stands_between_its_marks(results: Any, committed: Path) -> None:
    readme = committed / "README.md"
    begin, end = results.BEGIN.format(results.INDEX), results.END.format(results.INDEX)
    readme.write_text(f"above\n{begin}\nold\n{end}\nbelow\n", encoding="utf-8")
    results.index(committed)
    first = readme.read_text("utf-8")
    assert "old" not in first
    assert first.startswith("above\n")
    assert first.endswith("below\n")
    for folder in (file.parent for file in committed.glob("*/record.json")):
        (verdict,) = verdicts(reporting.read([folder]))
        assert f"| [{folder.name}]({folder.name}/report.md) | {results.RUNS[folder.name][0]} | " in first
        assert verdict.partition(": ")[2] in first
    results.index(committed)
    assert readme.read_text("utf-8") == first
    readme.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit, match="lacks the lines"):
        results.index(committed)


def test_the_readme_shows_what_the_record_of_its_run_says(results: Any, committed: Path, checkout: Path) -> None:
    readme = committed / "front.md"
    shutil.copy(checkout / "README.md", readme)
    results.front(committed, readme)
    assert readme.read_bytes() == (checkout / "README.md").read_bytes(), "run scripts/results.py"
    (run,) = reporting.read([committed / results.FRONT])
    text = readme.read_text("utf-8")
    for one in run.record.measurements:
        if one.speedup and one.latency_ms:
            assert f"| {one.latency_ms.p50:.2f} | {one.speedup.ratio:.2f}x [" in text
    assert run.record.machine.cpu in text


def test_a_readme_whose_run_is_not_there_is_left_as_it_is(
    results: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("old", encoding="utf-8")
    results.front(tmp_path, readme)
    assert readme.read_text("utf-8") == "old"
    assert "is left as it is" in capsys.readouterr().out


def test_each_model_has_a_page_of_its_runs(results: Any, committed: Path) -> None:
    results.pages(committed)
    assert "deit_tiny-int8/onnx" not in (committed / "demo.html").read_text("utf-8")
    page = (committed / "deit_tiny.html").read_text("utf-8")
    assert all(name in page for name in ("deit_tiny-int8", "deit_tiny-int4", "deit_tiny-binary"))


def test_what_is_committed_of_a_run_is_its_facts_and_a_report_in_the_words_of_today(
    results: Any, committed: Path, tmp_path: Path
) -> None:
    run, out = committed / "demo-int8", tmp_path / "out" / "demo-int8"
    (run / "recipe.toml").write_text('model = "demo"\n', encoding="utf-8")
    (run / "report.md").write_text("in other words", encoding="utf-8")
    (run / "model.pt2").write_bytes(b"weights")
    results.kept(run, out)
    assert {file.name for file in out.iterdir()} == {"recipe.toml", "record.json", "report.md"}
    assert (out / "record.json").read_bytes() == (run / "record.json").read_bytes()
    (read,) = reporting.read([run])
    assert (out / "report.md").read_text("utf-8") == markdown(read.record)


def test_what_is_finished_is_left_as_it_is(results: Any, committed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.made("demo-int8", committed)
    assert capsys.readouterr().out == "demo-int8: there already\n"


def test_runs_are_chosen_by_how_they_begin(results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITC_REFERENCE", raising=False)
    assert results.chosen(["demo-int4"]) == ["demo-int4"]
    assert all(name.startswith("demo-") for name in results.chosen([]))
    monkeypatch.setenv("VITC_REFERENCE", "somewhere")
    assert results.chosen([]) == list(results.RUNS)
    with pytest.raises(SystemExit, match="allowed: demo-first"):
        results.chosen(["resnet"])
