"""Make the runs of reports/results: the demo, and DeiT-Tiny where its weights and photographs are.

    python scripts/results.py [--only NAME …] [--runs FOLDER] [--out reports/results]

A name is one of RUNS, or how several begin: `--only demo`. Runs are made in FOLDER (runs/results), where those that are
finished are left as they are, and those that were stopped are resumed. What is committed of each is its recipe, its
record and its report; then the pages are written anew, one for each model, the table of OUT/README.md, and that of the
README two folders above, which shows one run. DeiT-Tiny's files are looked for in the folder that VITC_REFERENCE names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitc import reporting
from vitc.atomic import replacing, write_text
from vitc.reports import table
from vitc.reports.page import page, verdicts
from vitc.runs import RECORD, REPORT

Words = tuple[str, ...]
REFERENCE = "reference"
"""What the folder of DeiT-Tiny's files is called in its runs' commands."""
DEIT = (
    "deit_tiny_patch16_224",
    *("--weights", f"{REFERENCE}/deit_tiny_patch16_224.safetensors"),
    *("--data", f"{REFERENCE}/imagenet-val1300"),
    *("--calib", f"{REFERENCE}/imagenet-calib512"),
)
MODELS: Mapping[str, Words] = {"demo": ("demo",), "deit_tiny": DEIT}
CPUS = ("--threads", "1", "--export", "onnx,onnxruntime,openvino")
ALL = ("--threads", "1", "--export", "onnx,onnxruntime,openvino,tensorrt,coreml")
NEURONS, TOKENS, SLOWER = ("--prune", "neurons=0.1"), ("--merge", "75%"), ("--allow-slower", *CPUS)
WAYS: Mapping[str, tuple[str, Words]] = {
    "int8": ("int8", ALL),
    "int4": ("packed 4-bit weights", ("--ptq", "int4", *CPUS)),
    "w6a6": ("6 bits for weights and activations", ("--ptq", "w6a6", *CPUS)),
    "binary": ("packed 1-bit weights; by rounding alone no longer right", ("--ptq", "binary", *CPUS)),
    "merge": ("fewer tokens, three quarters of the multiply-adds; and int8", (*TOKENS, *SLOWER)),
    "prune": ("a tenth of the hidden neurons gone; and int8", (*NEURONS, *SLOWER)),
    "prune-merge": ("both, and int8", (*NEURONS, *TOKENS, *SLOWER)),
}
PHOTOS = ("--recover-data", f"{REFERENCE}/photos2000")
IMAGES = ("--recover-data", "demo:4000")
HALF = ("--prune", "macs=0.5", "--recover", "13", *IMAGES, "--ptq", "off", "--threads", "1")
MANY = ("--calib-images", "512")
FIFTH = (*MANY, "--merge", "13", "--prune", "neurons=0.2", "--recover", "30", *PHOTOS)
TWO, FOUR = (("--threads", "1", "--export", f"onnx,{others}") for others in ("coreml", "onnxruntime,openvino,coreml"))
LEARNED = (*MANY, "--effort", "high", "--ptq")
ONE_BIT = (*LEARNED, "binary", "--recover", "14", *IMAGES, *FOUR)
ONE_BIT_ATTENTION = (*LEARNED, "binary", "--binary-attention", "--recover", "20", *IMAGES, *TWO)
ONE_BIT_LEARNED = (*LEARNED, "binary", "--recover", "10", *PHOTOS, *TWO)
TWO_BITS = (*LEARNED, "binary2", "--recover", "30", *PHOTOS, *TWO)
RUNS: Mapping[str, tuple[str, Words]] = {
    "demo-first": ("the README's first command", ("demo",)),
    **{f"{model}-{way}": (what, (*MODELS[model], *words)) for model in MODELS for way, (what, words) in WAYS.items()},
    "demo-half": ("half of the multiply-adds gone, and 13 minutes of recovery", ("demo", *HALF)),
    "deit_tiny-recovered": (
        "tokens and a fifth of the neurons gone, 30 minutes of recovery; and int8",
        (*DEIT, *FIFTH, "--threads", "1", "--export", "onnxruntime"),
    ),
    "demo-binary-learned": ("packed 1-bit weights; blocks, then all of it learned", ("demo", *ONE_BIT)),
    "demo-binary-attention": ("the same with attention of one bit; all of it learned", ("demo", *ONE_BIT_ATTENTION)),
    "deit_tiny-binary-learned": ("packed 1-bit weights; blocks, then all of it learned", (*DEIT, *ONE_BIT_LEARNED)),
    "deit_tiny-binary2": ("packed 2-bit weights; blocks, then all of it learned", (*DEIT, *TWO_BITS)),
}
"""What each run shows, and its words after `vitc compress`; in the order of the pages."""
KEPT = ("recipe.toml", RECORD)
BEGIN, END = "<!-- {}: written by scripts/results.py -->", "<!-- end of {} -->"
INDEX, FRONT = "runs", "deit_tiny-int8"
"""What is written between such marks: the table of all runs, and the one of the run that the README shows."""
FRONT_COLUMNS = ("artifact", "size MB", "top-1 %", "p50 ms", "speed-up", "peak MB", "MACs %")
BROWSERS = ("chromium", "google-chrome", "chromium-browser")


def made(name: str, runs: Path) -> bool:
    """Make a run, or what is left of it; whether it is there now. One that fails a check of its own still is."""
    folder = runs / name
    if (folder / RECORD).is_file():
        print(f"{name}: there already")
        return True
    words = [*RUNS[name][1], "--out", name, *(["--resume"] if folder.exists() else [])]
    print(f"{name}: vitc compress {' '.join(words)}", flush=True)
    start = time.monotonic()
    code = subprocess.run([sys.executable, "-m", "vitc", "compress", *words, "-q"], cwd=runs, check=False).returncode
    print(f"{name}: exit code {code} after {time.monotonic() - start:.0f} s", flush=True)
    return (folder / RECORD).is_file()


def kept(folder: Path, out: Path) -> None:
    """Copy what is committed of a run, and write its report from its record: as the pages are, in today's words."""
    out.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        with replacing(out / file) as partial:
            shutil.copyfile(folder / file, partial)
    (run,) = reporting.read([out])
    write_text(out / REPORT, table.markdown(run.record))


def pages(out: Path) -> None:
    """A page for each model, of all its committed runs."""
    for model in MODELS:
        folders = [out / name for name in RUNS if name.startswith(f"{model}-") and (out / name / RECORD).is_file()]
        if folders:
            write_text(out / f"{model}.html", page(reporting.read(folders)))


def index(out: Path) -> None:
    """The table of runs in the folder's README."""
    rows = ["| run | what it shows | its fastest result |", "| --- | --- | --- |"]
    for name in (name for name in RUNS if (out / name / RECORD).is_file()):
        (run,) = reporting.read([out / name])
        rows.append(f"| [{name}]({name}/{REPORT}) | {RUNS[name][0]} | {verdicts([run])[0].partition(': ')[2]} |")
    between(out / "README.md", INDEX, rows)


def front(out: Path, readme: Path) -> None:
    """What one of the runs came to, and where, in the README of all."""
    if not (out / FRONT / RECORD).is_file():
        print(f"{readme} is left as it is: it shows the run {FRONT}")
        return
    (run,) = reporting.read([out / FRONT])
    shown = [table.COLUMNS.index(column) for column in FRONT_COLUMNS]
    cells = [FRONT_COLUMNS, ["---"] * len(shown), *([row[each] for each in shown] for row in table.rows(run.record))]
    where = next(fact for fact in table.facts(run.record) if fact.startswith("Machine"))
    between(readme, FRONT, [*(f"| {' | '.join(row)} |" for row in cells), "", f"{table.setting(run.record)}. {where}."])


def between(file: Path, what: str, lines: Sequence[str]) -> None:
    """Write lines between the marks of what they are, and leave the rest of the file as it is."""
    first, last = BEGIN.format(what), END.format(what)
    before, begin, rest = file.read_text("utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        sys.exit(f"{file} lacks the lines {first} and {last}: put them where the table belongs")
    write_text(file, "\n".join([before + first, "", *lines, "", last + after]))


def screenshot(out: Path, name: str) -> None:
    """The top of a run's page as the README shows it, where there is a browser."""
    program = next((found for browser in BROWSERS if (found := shutil.which(browser))), None)
    if program is None or not (out / name / RECORD).is_file():
        print(f"no screenshot: it takes the run {name} and one of {', '.join(BROWSERS)}")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])  # it sees a page made here
        tab = browser.new_page(viewport={"width": 1200, "height": 840}, color_scheme="light")
        tab.set_content(page(reporting.read([out / name])))
        tab.screenshot(path=out / "page.png")
        browser.close()


def chosen(only: list[str]) -> list[str]:
    """The runs that are asked for and can be made here."""
    names = [name for name in RUNS if not only or any(name == one or name.startswith(f"{one}-") for one in only)]
    if not names:
        sys.exit(f"no run is called {' or '.join(only)}; allowed: {', '.join(RUNS)}, or how they begin")
    reference = os.environ.get("VITC_REFERENCE")
    if reference is None and any(REFERENCE in " ".join(RUNS[name][1]) for name in names):
        print("the runs of DeiT-Tiny are left out: VITC_REFERENCE names no folder with its weights and photographs")
        names = [name for name in names if name.startswith("demo-")]
    return names


def main() -> None:
    """Make the runs, and write what is committed of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these runs, or those that begin so")
    parser.add_argument("--runs", type=Path, default=Path("runs/results"), help="where runs are made")
    parser.add_argument("--out", type=Path, default=Path("reports/results"), help="where what is committed goes")
    args = parser.parse_args()
    names = chosen(args.only)
    args.runs.mkdir(parents=True, exist_ok=True)
    link = args.runs / REFERENCE
    if (reference := os.environ.get("VITC_REFERENCE")) and not link.exists():
        link.symlink_to(
            Path(reference).resolve(), target_is_directory=True
        )  # so that commands name no machine's folders
    for name in names:
        if made(name, args.runs):
            kept(args.runs / name, args.out / name)
    pages(args.out)
    index(args.out)
    front(args.out, args.out.parents[1] / "README.md")
    screenshot(args.out, FRONT)


if __name__ == "__main__":
    main()
