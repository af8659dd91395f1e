"""A recipe says all of a run, the same in a file and in flags, and refuses what it does not know in one line."""

from pathlib import Path
from typing import Any

import pytest

from vitc.errors import UserError
from vitc.recipe import WORDS, Recipe
from vitc.recipe_file import resolve

FULL = Recipe(
    model="deit_tiny_patch16_224",
    weights="w.safetensors",
    data="images",
    calib='others "quoted"',
    calib_images=3,
    merge="8:few",
    prune="neurons=0.2",
    recover="30",
    recover_data="photos",
    recover_images=500,
    ptq="w6a6",
    effort="fast",
    equalize=("smooth",),
    ranges="mse",
    rounding="gptq",
    attention=True,
    binary_attention=True,
    axiswise=True,
    exclude=("head",),
    keep=("2", "blocks.1.*"),
    layers={"depthwise": {"weight_bits": 8}, "blocks.0.*": {"weight_bits": 8, "activation_bits": 8}},
    static=True,
    meter="rapl",
    allow_slower=True,
    image_input=True,
    allow_fallback=True,
    export=("onnx",),
    runtime=("onnxruntime",),
    threads=1,
    batch=2,
    max_time=5,
    workers=0,
    seed=7,
    preprocessing={"crop_pct": 0.9, "mean": [0.5, 0.5, 0.5]},
)


def toml(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder / "recipe.toml"


@pytest.mark.parametrize("recipe", [Recipe(), FULL, Recipe(ptq="off", data="none", runtime=("none",))])
def test_the_file_of_a_recipe_gives_it_back(tmp_path: Path, recipe: Recipe) -> None:
    assert resolve(toml(tmp_path, recipe.to_toml()), {}) == recipe


def test_the_full_recipe_leaves_no_word_out() -> None:
    assert set(FULL.to_json()) == set(WORDS) - {"drop"}, "it does not go with merge"


def test_nothing_said_is_what_a_recipe_is_without_words() -> None:
    assert resolve(None, {}) == Recipe()


def test_flags_lie_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = toml(tmp_path, "threads = 2\nbatch = 4\n")
    assert resolve(file, {"batch": 8, "threads": None}) == Recipe(threads=2, batch=8)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("colour = 3", "'colour'"),
        ("Model = 'demo'", "'Model'"),
        ("[quantize]\nbits = 8", "'quantize'"),
        ("seed = 1.0", "seed is 1.0"),
        ("seed = true", "seed is True"),
        ("seed = '1'", "seed is '1'"),
        ("batch = [1]", r"batch is \[1\]"),
        ("model = 3", "model is 3"),
        ("model = ''", "model is ''"),
        ("data = ''", "data is ''"),
        ("weights = ''", "weights is ''"),
        ("export = 'onnx'", "export is 'onnx'"),
        ("export = [1]", r"export is \[1\]"),
        ("preprocessing = 'none'", "preprocessing is 'none'"),
        ("ptq = 'int7'", "ptq does not know 'int7'; allowed: int8, int4, w4a8, w6a6, w4a4, w3a3, binary2, binary, off"),
        ("export = ['onyx']", "export does not know 'onyx'; allowed: onnx"),
        ("export = ['onnx', 'onnx']", "export names 'onnx' more than once"),
        ("export = []", "export names no target"),
        ("runtime = ['trt']", "runtime does not know 'trt'"),
        ("runtime = ['none', 'onnxruntime']", "runtime does not know 'none'"),
        ("threads = 0", "threads is 0"),
        ("batch = 0", "batch is 0"),
        ("workers = -1", "workers is -1"),
        ("seed = -1", "seed is -1"),
        ("calib_images = 0", "calib-images is 0"),
        ("weights = 'w.pth'", "demo brings its own weights"),
        ("model = 'a.pt2'\nweights = 'w.pth'", "a.pt2 brings its own weights"),
        ("ptq = 'off'\ncalib = 'folder'", "--calib goes with quantization"),
        ("recover = '0'", "recover is '0'; it must be minutes above 0"),
        ("recover = '-3'", "recover is '-3'"),
        ("recover = 'abc'", "recover is 'abc'"),
        ("recover_data = 'photos'", "--recover-data goes with --recover"),
        ("recover = '30'\nptq = 'off'", "--recover has nothing to recover from"),
        ("recover = '30'\nptq = 'off'\nmerge = '8'", "--recover learns from images; name some with --recover-data"),
        ("keep = ['2']", "--keep leaves layers at 8 bits, and int8 has no fewer"),
        ("ptq = 'off'\nkeep = ['2']", "--keep goes with quantization"),
        ("data = 'none'", "--data none leaves nothing to calibrate with"),
        ("seed = ", "is not TOML"),
        ("seed = 1\nseed = 2", "is not TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(tmp_path: Path, text: str, culprit: str) -> None:
    with pytest.raises(UserError, match=culprit) as refusal:
        resolve(toml(tmp_path, text), {})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("flags", [{"threads": 0}, {"ptq": "int7"}, {"ptq": "off", "calib": "x"}, {"export": ()}])
def test_flags_are_held_to_the_same(flags: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        resolve(None, flags)


def test_a_file_may_be_mended_by_a_flag(tmp_path: Path) -> None:
    file = toml(tmp_path, "ptq = 'off'\ncalib = 'folder'")
    assert resolve(file, {"ptq": "int8"}).calib == "folder"


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere.toml", "No such file"), ("folder", "Is a directory"), ("file/x.toml", "Not a dir")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot read the recipe .*{name}: {reason}"):
        resolve(tmp_path / name, {})


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not TOML"):
        resolve(tmp_path / "r.toml", {})
