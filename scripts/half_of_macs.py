"""Prune backbones of many families to half of their multiply-adds, and print how much faster they really are.

    python scripts/half_of_macs.py [NAME …] [--macs 0.5] [--multiple 8] [--out FILE.md]

Each is built by timm with random weights, pruned as `--prune macs=0.5` does, exported to ONNX with a batch of one, held
against torch, and measured beside the untouched one on onnxruntime: one thread, both files interleaved in one run.
`kept of it` is the speed-up over what the multiply-adds promise; from 0.75 on the verdict is ok.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitc.atomic import write_text
from vitc.bench import Bench, Subject
from vitc.compress.aids import Aids
from vitc.compress.slim import Slim
from vitc.errors import UserError
from vitc.export import to_onnx
from vitc.export.options import Options
from vitc.loading import load
from vitc.models.backbone import Backbone
from vitc.models.cost import cost
from vitc.progress import Progress
from vitc.runtimes import machine, ort
from vitc.scripts.thirty_names import NAMES
from vitc.versions import PACKAGES

IMAGES = 8
"""Of noise: weights that are random know nothing of photographs."""
PROMISED = 0.75
HEAD = (
    "model",
    "what went",
    "MACs before",
    "after",
    "ms before",
    "after",
    "speed-up",
    "kept of it",
    "off torch",
    "seconds",
    "verdict",
)


def row(name: str, technique: Slim, folder: Path) -> tuple[str, ...]:
    """What one backbone comes to."""
    start, aids = time.monotonic(), Aids()
    whole = load(name, Path("random"), {})
    size = whole.preprocessing.input_size
    noise = torch.randn(IMAGES, *size, generator=torch.Generator().manual_seed(0))
    try:
        narrow = technique.apply(whole, [noise], aids)
    except UserError as failure:
        return (name, *[""] * (len(HEAD) - 2), str(failure))
    seconds = time.monotonic() - start
    macs = [cost(one.module, size).macs for one in (whole, narrow)]
    before, after, apart = measured(whole, narrow, noise[:1].numpy(), folder)
    ratio, (low, high) = after["speedup"]["ratio"], after["speedup"]["ci95"]
    kept = ratio * macs[1] / macs[0]
    return (
        name,
        aids.losses.notes[0].partition(" go:")[0],
        *(f"{one / 1e6:.0f} M" for one in macs),
        *(f"{one['latency_ms']['p50']:.2f}" for one in (before, after)),
        f"{ratio:.2f}x [{low:.2f}, {high:.2f}]",
        f"{kept:.2f}",
        f"{apart:.0e}",
        f"{seconds:.0f}",
        "ok" if kept >= PROMISED else "less than promised",
    )


def measured(
    whole: Backbone, narrow: Backbone, image: np.ndarray, folder: Path
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """What the bench finds of both, and how far the narrow one's answers are from torch's, of the largest."""
    options, names = Options(batch=1), ("whole", "narrow")
    files = [to_onnx.write(one, folder / name, options).path for one, name in zip((whole, narrow), names, strict=True)]
    with ort.OrtSession(files[1], 1) as session, torch.no_grad():
        wanted = narrow.module(torch.from_numpy(image)).numpy()
        apart = float(np.abs(session.run(image) - wanted).max() / np.abs(wanted).max())
    subjects = [Subject(name, file, ort.NAME, "whole") for name, file in zip(names, files, strict=True)]
    before, after = Bench(threads=1, max_time=20).measure(subjects, Progress())
    return before, after, apart


def main() -> None:
    """Print each row as it comes, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--multiple", type=int, default=8)
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    here = machine.describe((*PACKAGES, "torch-pruning"))
    versions = ", ".join(f"{name} {version}" for name, version in here.packages.items())
    lines = [f"{here.cpu}, {' '.join(here.isa)}; {versions}", ""]
    lines += [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    print("\n".join(lines), flush=True)
    for name in args.names:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(f"| {' | '.join(row(name, Slim(macs=args.macs, multiple=args.multiple), Path(folder)))} |")
        print(lines[-1], flush=True)
        if args.out:
            write_text(args.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
