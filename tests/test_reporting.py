"""Pages and tables of run folders, through the command line."""

import shutil
import sys
from pathlib import Path

import pytest

from vitc import cli, reporting
from vitc.errors import NotAvailable, UserError
from vitc.reports import drawing
from vitc.reports.page import page

pytestmark = pytest.mark.xdist_group("demo_run")


def test_the_command_writes_the_page_and_the_table(
    demo_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    html, csv, svg = tmp_path / "page.html", tmp_path / "table.csv", tmp_path / "chart.svg"
    files = ["--out", str(html), "--csv", str(csv), "--svg", str(svg), "--axis", "size"]
    monkeypatch.setattr(sys, "argv", ["vitc", "report", str(demo_run), *files])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"wrote {html} and {csv} and {svg}\n"
    assert "<table" in html.read_text("utf-8")
    assert len(csv.read_text("utf-8").splitlines()) == 3
    assert "size (MB)" in svg.read_text("utf-8")
    assert sorted(tmp_path.iterdir()) == [svg, html, csv]


def test_where_one_file_cannot_be_made_none_is_written(
    demo_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    wanted = reporting.Wanted(tmp_path / "page.html", png=tmp_path / "chart.png")
    with pytest.raises(NotAvailable, match="resvg"):
        reporting.write(reporting.read([demo_run]), wanted)
    assert list(tmp_path.iterdir()) == []


def test_an_axis_that_no_chart_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="allowed: latency, size, memory, energy"):
        reporting.Wanted(tmp_path / "page.html", axis="speed")


def test_runs_are_told_apart_by_as_little_of_their_paths_as_needed(demo_run: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name / "run" for name in ("one", "two")]
    for folder in folders:
        shutil.copytree(demo_run, folder)
    assert [run.name for run in reporting.read(folders)] == ["one/run", "two/run"]
    assert [run.name for run in reporting.read(folders[:1])] == ["run"]
    with pytest.raises(UserError, match="named twice"):
        reporting.read([folders[0], folders[0]])


def test_images_whose_class_changed_are_listed(demo_run: Path) -> None:
    import numpy as np

    (run,) = reporting.read([demo_run])
    with np.load(demo_run / "predictions.npz") as kept:
        before, after = (kept[f"{name}/onnx onnxruntime"][:, 0] for name in ("fp32", "int8"))
        wanted = [str(name) for name in kept["images"][before != after]]
    assert [one.image for one in run.changed] == wanted
    assert run.artifact == "int8/onnx on onnxruntime"


def test_classes_have_their_names_where_they_were_given(demo_run: Path, tmp_path: Path) -> None:
    import numpy as np

    folder = tmp_path / "run"
    shutil.copytree(demo_run, folder)
    with np.load(demo_run / "predictions.npz") as kept:
        answers = dict(kept)
    answers["int8/onnx onnxruntime"][0, 0] = 1 - min(answers["fp32/onnx onnxruntime"][0, 0], 1)
    np.savez(folder / "predictions.npz", **{**answers, "classes": np.array(["<script>"] * 3)})
    (run,) = reporting.read([folder])
    assert run.changed[0].after in {"0 <script>", "1 <script>"}
    html = page([run])
    assert run.changed[0].after.replace("<", "&lt;").replace(">", "&gt;") in html
    assert html.count("<script") == 2  # the facts and the code


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"schema": 1, "vitc": "0.', "not a whole JSON text"),
        (b'{"schema": 1, "colour": "red"}', "unknown key"),
        (b'{"schema": 1}', "is missing"),
        (b'{"schema": 2}', "reads schema 1 only"),
        (b"\xff\xfe", "is not a text"),
    ],
)
def test_a_broken_record_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (tmp_path / "record.json").write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["vitc", "report", str(tmp_path), "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == UserError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "page.html").exists()


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the folder of a finished run"):
        reporting.read([tmp_path])
