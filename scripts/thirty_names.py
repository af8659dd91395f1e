"""Export and quantize thirty timm backbones with random weights, and print which hold what vitc promises.

    python scripts/thirty_names.py [NAME …] [--out FILE.md]

Each name runs in a process of its own: `vitc compress NAME --weights random --data none --calib demo --runtime none`.
A row says how far the float ONNX file is from torch at most (the verdict holds it against the largest output), on what
share of images the int8 file gives the class of the torch simulation, and what share of the promised integer products
the engine really ran.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitc.atomic import write_text
from vitc.reports.record import Record, from_json

NAMES = (
    "deit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "efficientvit_m0",
    "nextvit_small",
    "shvit_s1",
    "tiny_vit_5m_224",
    "fasternet_t0",
    "ghostnetv2_100",
    "inception_next_tiny",
    "convnext_atto",
    "poolformer_s12",
    "crossvit_tiny_240",
    "convit_tiny",
    "maxvit_tiny_tf_224",
    "davit_tiny",
    "volo_d1_224",
    "tnt_s_patch16_224",
    "visformer_tiny",
    "xcit_tiny_12_p16_224",
    "fastvit_t8",
    "repvit_m1",
    "edgenext_xx_small",
    "mambaout_femto",
    "swiftformer_xs",
    "pvt_v2_b0",
    "levit_128s",
)
FLAGS = (
    "--weights",
    "random",
    "--data",
    "none",
    "--calib",
    "demo",
    "--calib-images",
    "32",
    "--runtime",
    "none",
    "--json",
    "-q",
)
HEAD = ("model", "float error", "int8 agreement", "promised kept", "int8 MACs", "seconds", "verdict")


def row(name: str) -> tuple[str, ...]:
    """What one backbone comes to."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vitc", "compress", name, *FLAGS, "--out", f"{folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = f"{time.monotonic() - start:.0f}"
    last = (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
    reason = last.removeprefix("vitc: ").partition("; the run is kept")[0]
    if not done.stdout:
        return (name, "", "", "", "", seconds, reason)
    return (name, *figures(from_json(done.stdout, name)), seconds, "ok" if done.returncode == 0 else reason)


def figures(record: Record) -> tuple[str, ...]:
    """The four figures of a record."""
    by_name = {artifact.name: artifact for artifact in record.artifacts}
    plain, integer = by_name["fp32/onnx"].parity, by_name["int8/onnx"]
    if plain is None or integer.parity is None or integer.audit is None:
        return ("", "", "", "")
    return (
        f"{plain.max_abs:.1e}",
        f"{integer.parity.top1_agree:.1%} of {integer.parity.images}",
        f"{integer.audit.promised_pct:.0f} %",
        f"{integer.audit.int8_macs_pct:.0f} %",
    )


def main() -> None:
    """Run the names; print each row as it comes, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    args = parser.parse_args()
    lines = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    print("\n".join(lines))
    for name in args.names:
        lines.append(f"| {' | '.join(row(name))} |")
        print(lines[-1], flush=True)
    if args.out:
        write_text(args.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
