"""What a user may get wrong is answered with one line, the documented exit code, and nothing half-written."""

import os
import pickle
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from vitc import cli
from vitc.models import demo, demo_images

Refuse = Callable[..., str]
RANDOM = "deit_tiny_patch16_224 --weights random"


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Refuse]:
    """Runs a command in an empty folder, with `--out run` where it makes a run, and returns its one line."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, code: int = 2) -> str:
        words = shlex.split(command)
        words += ["-q", "--out", "run"] if words[0] in {"compress", "export"} and "--out" not in words else []
        monkeypatch.setattr(sys, "argv", ["vitc", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        assert end.value.code == code, said.err
        assert not said.out
        return the_line(said.err)

    yield run
    assert not Path("run").exists()
    assert not list(tmp_path.rglob("*.partial"))


def the_line(said: str) -> str:
    """The only line of what was said."""
    (line,) = said.splitlines()
    assert line.startswith("vitc: ")
    return line


def photos(folder: Path, count: int, *, first: int = 0) -> list[str]:
    """Images of the demo's kind as files, and the rows of their manifest."""
    folder.mkdir(exist_ok=True)
    rows = []
    for index in range(first, first + count):
        PIL.Image.fromarray(demo_images.draw(9, index)).save(folder / f"{index}.jpg", quality=90)
        rows.append(f"{index}.jpg,{demo_images.label(index)}")
    return rows


def manifest(folder: Path, rows: list[str]) -> None:
    (folder / "manifest.csv").write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")


class Bomb:
    """Unpickling it leaves a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize(
    ("command", "culprit"),
    [
        ("compress deit_tiny_patch16_244", "deit_tiny_patch16_244"),
        ("compress no/such/model.py:build", "no/such/model.py"),
        ("compress no_such.pt2", "no_such.pt2"),
        ("compress deit_tiny_patch16_224 --weights no_such.safetensors", "no_such.safetensors"),
        ("compress demo --data no_such_folder", "no_such_folder"),
        ("compress demo --data demo:none", "demo:none"),
        ("compress demo --data ''", "data is ''"),
        ("compress demo --calib no_such_folder", "no_such_folder"),
        ("compress demo --calib-images 0", "calib-images is 0"),
        ("compress demo --threads 0", "threads is 0"),
        ("compress demo --threads two", "--threads"),
        ("compress demo --batch 0", "batch is 0"),
        ("compress demo --workers -1", "workers is -1"),
        ("compress demo --seed -1", "seed is -1"),
        ("compress demo --ptq int7", "int7"),
        ("compress demo --meter no-such-meter", "no-such-meter"),
        ("compress demo --export onyx", "onyx"),
        ("compress demo --export onnx,onnx", "more than once"),
        ("compress demo --runtime trt", "trt"),
        ("compress demo --recipe no_such.toml", "no_such.toml"),
        ("compress demo --weights w.safetensors", "demo brings its own weights"),
        ("compress demo --ptq off --calib demo", "--calib"),
        ("compress demo --data none", "--calib"),
        ("compress demo --recover 0", "recover is '0'"),
        ("compress demo --recover soon", "recover is 'soon'"),
        ("compress demo --recover -5", "recover is '-5'"),
        ("compress demo --recover-data demo", "--recover-data goes with --recover"),
        ("compress demo --recover 5 --recover-data no_such_folder", "no_such_folder"),
        ("compress demo --recover 5 --ptq off", "nothing to recover from"),
        ("compress demo --colour blue", "--colour"),
        ("compress demo extra", "extra"),
        ("squeeze demo", "squeeze"),
        ("export", "MODEL"),
        ("profile no_such.onnx", "no_such.onnx"),
        ("models no_such_model", "no_such_model"),
    ],
)
def test_what_is_not_there_or_not_allowed(refuse: Refuse, command: str, culprit: str) -> None:
    assert culprit in refuse(command)


@pytest.mark.parametrize(
    ("text", "culprit"), [("colour = 'blue'", "colour"), ("threads = 'two'", "threads"), ("threads = ", "wrong.toml")]
)
def test_a_wrong_recipe(refuse: Refuse, text: str, culprit: str) -> None:
    Path("wrong.toml").write_text(text, encoding="utf-8")
    assert culprit in refuse("compress demo --recipe wrong.toml")


def test_weights_of_another_architecture(refuse: Refuse) -> None:
    save_file({"stem.weight": torch.zeros(4, 3, 2, 2)}, "other.safetensors")
    line = refuse("compress deit_tiny_patch16_224 --weights other.safetensors")
    assert "other.safetensors does not fit deit_tiny_patch16_224" in line
    assert "stem.weight" in line


@pytest.mark.parametrize("kept", [0, 4, 100, 5000])
def test_truncated_safetensors(refuse: Refuse, kept: int) -> None:
    Path("cut.safetensors").write_bytes(demo.WEIGHTS.read_bytes()[:kept])
    assert "cut.safetensors" in refuse("compress deit_tiny_patch16_224 --weights cut.safetensors")


@pytest.mark.parametrize(
    "save",
    [lambda: Path("bomb.pth").write_bytes(pickle.dumps(Bomb())), lambda: torch.save(Bomb(), "bomb.pth")],
    ids=["pickle", "torch"],
)
@pytest.mark.parametrize("name", ["bomb.pth", "bomb.safetensors", "bomb.pt2"])
def test_code_in_a_pickle_does_not_run(refuse: Refuse, name: str, save: Callable[[], object]) -> None:
    save()
    Path("bomb.pth").rename(name)
    given = name if name.endswith("pt2") else f"deit_tiny_patch16_224 --weights {name}"
    assert name in refuse(f"compress {given}")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a program"])
def test_a_pt2_that_is_not_one(refuse: Refuse, content: bytes) -> None:
    Path("model.pt2").write_bytes(content)
    assert "model.pt2 is not a program saved by vitc" in refuse("compress model.pt2")


def test_several_processes_do_not_share_a_run_folder(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "started as 2 processes" in refuse("compress demo")


def test_a_file_that_is_no_model(refuse: Refuse) -> None:
    Path("model.py").write_text("def build():\n    return 3\n", encoding="utf-8")
    assert "model.py:build returned int" in refuse("compress model.py:build")


def test_an_empty_folder(refuse: Refuse) -> None:
    Path("empty").mkdir()
    assert "empty" in refuse("compress demo --data empty")
    assert "no images in empty" in refuse("compress demo --calib empty")
    assert "no images in empty" in refuse("compress demo --recover 5 --recover-data empty")


def test_a_manifest_with_missing_files(refuse: Refuse, tmp_path: Path) -> None:
    manifest(tmp_path / "set", [*photos(tmp_path / "set", 10), "gone.jpg,3"])
    line = refuse("compress demo --data set --calib-images 2")
    assert "1 of " in line
    assert "gone.jpg" in line


def test_a_label_out_of_range(refuse: Refuse, tmp_path: Path) -> None:
    manifest(tmp_path / "set", [*photos(tmp_path / "set", 3), "0.jpg,99"])
    assert "line 5: label 99 is out of range" in refuse("compress demo --data set")


def test_a_corrupt_jpeg(refuse: Refuse, tmp_path: Path) -> None:
    manifest(tmp_path / "set", photos(tmp_path / "set", 6))
    content = Path("set/3.jpg").read_bytes()
    Path("set/3.jpg").write_bytes(content[: len(content) // 2])
    line = refuse("compress demo --data set --calib demo:2")
    assert "1 of 6 images" in line
    assert "3.jpg" in line


def test_calibration_images_that_are_scored(refuse: Refuse, tmp_path: Path) -> None:
    manifest(tmp_path / "set", photos(tmp_path / "set", 6))
    photos(tmp_path / "calib", 3, first=6)
    shutil.copy("set/3.jpg", "calib/copy.jpg")
    assert "copy.jpg" in refuse("compress demo --data set --calib calib")


def test_other_classes_than_the_models(refuse: Refuse, tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / "set").mkdir(exist_ok=True)
        photos(tmp_path / "set" / name, 2)
    assert f"set has 2 classes and the model answers {len(demo_images.CLASSES)}" in refuse("compress demo --data set")
    assert "the model answers 1000" in refuse(f"compress {RANDOM} --data demo")


@pytest.mark.parametrize("out", ["file", "file/below", "/dev/null", "/dev/null/below"])
def test_an_out_that_cannot_be_a_folder(refuse: Refuse, out: str) -> None:
    Path("file").write_text("mine", encoding="utf-8")
    assert out in refuse(f"compress demo --data demo:24 -q --out {out}")
    assert Path("file").read_text("utf-8") == "mine"


@pytest.mark.parametrize("words", ["", "--resume"])
def test_an_out_that_holds_other_files(refuse: Refuse, words: str) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine", encoding="utf-8")
    assert "mine holds other files" in refuse(f"compress demo --data demo:24 -q --out mine {words}")
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


def test_an_out_that_holds_a_run(refuse: Refuse) -> None:
    Path("old/.stages").mkdir(parents=True)
    Path("old/model.pt2").write_text("old", encoding="utf-8")
    assert "old holds a run; add --resume" in refuse("compress demo --data demo:24 -q --out old")
    assert Path("old/model.pt2").read_text("utf-8") == "old"


def test_what_is_not_on_this_machine(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("model.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "onnxruntime is not installed" in refuse("profile model.onnx", code=3)
    monkeypatch.setattr(demo, "WEIGHTS", Path("no_such.safetensors"))
    assert "no_such.safetensors" in refuse("compress demo", code=3)


def test_a_model_whose_answers_are_not_numbers(refuse: Refuse) -> None:
    Path("model.py").write_text(
        "import torch\n\n"
        "class Broken(torch.nn.Module):\n"
        "    preprocessing = {'input_size': [3, 8, 8]}\n"
        "    def forward(self, x):\n"
        f"        return x.mean((1, 2, 3))[:, None].expand(-1, {len(demo_images.CLASSES)}) / 0\n",
        encoding="utf-8",
    )
    line = refuse("export model.py:Broken --data demo:24 -q --out kept", code=1)
    assert "24 of 24 images gave logits that are not finite" in line
    assert not Path("kept/record.json").exists()


@pytest.mark.parametrize(
    ("words", "code"), [(["compress", "demo", "--threads", "0"], 2), (["compress", "demo", "--colour"], 2), (["x"], 2)]
)
def test_a_real_process_ends_likewise(tmp_path: Path, words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vitc", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert the_line(done.stderr)
    assert not any(tmp_path.iterdir())
