"""The options of the command line: what each is called, and what its help says."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="demo, a timm name, path/to/file.py:factory, or a saved program (.pt2)")
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A file of tensors (safetensors, or .pth read as tensors only), or `random`"),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="SRC", help="Images that are scored: demo, a folder with a folder per class or a manifest.csv, or none"
    ),
]
Calib = Annotated[
    str | None, typer.Option(metavar="SRC", help="Images for calibration (default: a part of --data, never scored)")
]
CalibImages = Annotated[int | None, typer.Option(metavar="N", help="At most so many calibration images (default: 128)")]
Merge = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEDULE",
        help="Merge the tokens that are most alike: 8 a block, 8:increase, 8:decrease, 8:few (as cheap, in few "
        "blocks), 0.90G or 75% of the multiply-adds, the tokens that each block keeps, or deit-t-0.9G (DiffRate)",
    ),
]
Drop = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEDULE", help="Fuse the tokens that the class token attends to least; words as for --merge"
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Take away what the rest makes up for: neurons=0.1, values=0.1 or queries=0.25 (shares), sublayers=1 or "
        "blocks=1 (how many), or several of them with commas between; or heads, neurons and channels until a share of "
        "the multiply-adds, or of the measured time, is left: macs=0.5 or latency=0.6",
    ),
]
Recovery = Annotated[
    str | None,
    typer.Option(
        "--recover",
        metavar="MINUTES",
        help="Learn back what the steps cost, from the untouched backbone: minutes, or 800steps (needs no labels)",
    ),
]
RecoveryData = Annotated[
    str | None,
    typer.Option(
        "--recover-data",
        metavar="SRC",
        help="Images to learn from, never scored (default: the calibration images)",
    ),
]
RecoveryImages = Annotated[
    int | None,
    typer.Option("--recover-images", metavar="N", help="How many of them at most, drawn by --seed (default: 20000)"),
]
Ptq = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Bits of weights and activations: int8, int4 (= w4a8), w6a6, w4a4, w3a3, binary2 (two), binary (one), "
        "or off (default: int8)",
    ),
]
Effort = Annotated[
    str | None,
    typer.Option(metavar="LEVEL", help="How long to look for better codes: fast, normal or high (default: normal)"),
]
Equalize = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Steps before rounding, of rotate, reparameterize, smooth; or none (default: what suits the bits)",
    ),
]
Ranges = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="Ends of activations by minmax, percentile, mse, cubic or entropy (default: mse)",
    ),
]
Rounding = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="Weights by nearest, bias, ridge, erq, gptq, descent or signs (default: what suits the bits)",
    ),
]
Attention = Annotated[
    bool | None,
    typer.Option(
        "--attention/--no-attention",
        help="Round what the attention products read, too, or not (default: for targets that gain by it)",
    ),
]
BinaryAttention = Annotated[
    bool | None,
    typer.Option("--binary-attention", help="One bit for what attention weighs with, and 8 for the values (BiViT)"),
]
Axiswise = Annotated[
    bool | None,
    typer.Option("--axiswise", help="A range for every head of attention and channel of depthwise convolutions"),
]
Exclude = Annotated[
    str | None, typer.Option(metavar="LIST", help="Layers that stay float: patterns of names, or types, as blocks.0.*")
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Layers whose weights keep 8 bits: patterns of names, or how many of those that bear few bits least, as 3",
    ),
]
Export = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Targets, separated by commas: onnx, onnxruntime, openvino, tensorrt, coreml (default: onnx)",
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Engines to measure with, separated by commas, or none (default: those that serve what is exported)",
    ),
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Threads of the measured runtime (default: its own choice)")
]
Batch = Annotated[
    int | None, typer.Option(metavar="N", help="Images an inference when latency is measured (default: 1)")
]
MaxTime = Annotated[
    int | None,
    typer.Option(metavar="SECONDS", help="Measure no longer than that, if the least can be done in it (default: 60)"),
]
Batches = Annotated[
    str | None,
    typer.Option("--batch", metavar="LIST", help="Images an inference, or several numbers, as 1,8,32 (default: 1)"),
]
Tell = Annotated[
    str | None, typer.Option(metavar="SHARE", help="The difference of times that shall be told apart (default: 5%)")
]
Throughput = Annotated[
    bool, typer.Option("--throughput", help="Images a second, with a process of one thread on each of --threads cores")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=SIZES", help="Of an input with free sizes, as tokens=1x128; may be said several times"),
]
Static = Annotated[bool | None, typer.Option("--static", help="Export with the batch fixed at --batch, not free")]
FixedBatch = Annotated[
    int | None, typer.Option(metavar="N", help="Fix the exported batch, and measure it (default: free, measured at 1)")
]
ImageInput = Annotated[
    bool | None, typer.Option("--image-input", help="Core ML: take images as they come, with the preprocessing inside")
]
Slower = Annotated[bool | None, typer.Option("--allow-slower", help="Accept fewer tokens that take longer on a target")]
Fallback = Annotated[
    bool | None, typer.Option("--allow-fallback", help="Accept layers that run in another precision than promised")
]
Check = Annotated[bool, typer.Option("--check", help="Only say what would keep the targets from working; in seconds")]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes that decode images (default: 2)")]
File = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="A TOML file with the same words; flags override it")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder (default: a new one under runs/)")]
Resume = Annotated[bool, typer.Option("--resume", help="Finish the run in --out: reuse the stages that are done")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print the resolved recipe and what would be written; do nothing")]
Json = Annotated[bool, typer.Option("--json", help="Print the record instead of the table")]
MaxDrop = Annotated[float, typer.Option(metavar="POINTS", help="Points of top-1 that the candidate may lose")]
MaxSlowdown = Annotated[str, typer.Option(metavar="SHARE", help="How much longer it may take, as 5%")]
MaxSize = Annotated[str | None, typer.Option(metavar="SHARE", help="How much larger its file may be, as 5%")]
MaxMemory = Annotated[str | None, typer.Option(metavar="SHARE", help="How much more memory it may take, as 5%")]
MaxEnergy = Annotated[str | None, typer.Option(metavar="SHARE", help="How much more energy it may take, as 5%")]
Remeasure = Annotated[bool, typer.Option("--remeasure", help="Time both here and now, in one run")]
Inconclusive = Annotated[bool, typer.Option("--allow-inconclusive", help="Let pass what could not be decided")]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdicts as JUnit XML")]
Page = Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write")]
Csv = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table of results as CSV, too")]
Meter = Annotated[
    str | None,
    typer.Option(
        metavar="CMD",
        help="What counts energy: a command that prints watts, a number a line; rapl, nvml, jetson, tegrastats, "
        "powermetrics; or none (default: the first of these that works)",
    ),
]
Facts = Annotated[bool, typer.Option("--json", help="Print what was found as JSON instead of the table")]
Axis = Annotated[str, typer.Option(metavar="COST", help="What the chart shows: latency, size, memory or energy")]
Svg = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the chart as SVG, too")]
Png = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the chart as PNG, too (needs resvg-py)")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Of everything drawn at random (default: 0)")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but the result")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks")]
