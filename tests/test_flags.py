"""Every choice of a recipe is an option of `vitc compress`, and every option is written down."""

import inspect

import pytest
from typer.testing import CliRunner

from vitc.cli import app, compress, export_
from vitc.recipe import PTQ, WORDS, Recipe

BESIDE_THE_RECIPE = {"context", "recipe", "out", "resume", "check", "dry_run", "json", "quiet", "verbose"}


def test_compress_takes_every_word_of_a_recipe() -> None:
    assert set(inspect.signature(compress).parameters) - BESIDE_THE_RECIPE == set(WORDS) - {"preprocessing", "layers"}


def test_export_takes_what_goes_without_calibration() -> None:
    words = set(inspect.signature(export_).parameters) - BESIDE_THE_RECIPE
    taken_away = {"merge", "drop", "prune", "recover", "recover_data", "recover_images", "allow_slower"}
    bits = {"ptq", "effort", "equalize", "ranges", "rounding", "attention", "axiswise", "exclude", "keep", "layers"}
    assert set(WORDS) - words == taken_away | bits | {
        "binary_attention",
        "preprocessing",
        "calib",
        "calib_images",
        "static",
        "allow_fallback",
    }


@pytest.mark.parametrize("word", [*PTQ, *Recipe().export])
def test_the_help_names_what_may_be_said(word: str) -> None:
    shown = CliRunner().invoke(app, ["compress", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert word in shown
