"""Export and quantize thirty timm backbones with random weights, and print which hold what vitc promises.

    python scripts/thirty_names.py [NAME …] [--export onnx,coreml] [--out FILE.md]

Each name runs in a process of its own: `vitc compress NAME --weights random --data none --calib demo --runtime none`.
A row says how like torch's the float artifact's logits are, on what share of images the int8 one gives the class of the
torch simulation, and what share of the promised integer products the engine really ran. The verdict is the run's own,
for all targets.
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
HEAD = ("model", "target", "float cosine", "int8 agreement", "promised kept", "int8 MACs", "seconds", "verdict")


def rows(name: str, targets: str) -> list[tuple[str, ...]]:
    """What one backbone comes to: a row a target, and what is wrong in the first."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "vitc",
            "compress",
            name,
            *FLAGS,
            "--export",
            targets,
            "--out",
            f"{folder}/run",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = f"{time.monotonic() - start:.0f}"
    last = (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
    verdict = "ok" if done.returncode == 0 else last.removeprefix("vitc: ").partition("; the run is kept")[0]
    if not done.stdout:
        return [(name, targets, "", "", "", "", seconds, verdict)]
    record = from_json(done.stdout, name)
    found = [(name, target, *figures(record, target)) for target in targets.split(",")]
    return [(*one, *end) for one, end in zip(found, [(seconds, verdict), *[("", "")] * (len(found) - 1)], strict=True)]


def figures(record: Record, target: str) -> tuple[str, ...]:
    """The four figures of a target."""
    by_name = {artifact.name: artifact for artifact in record.artifacts}
    plain, integer = by_name[f"fp32/{target}"].parity, by_name[f"int8/{target}"]
    agreement = f"{integer.parity.top1_agree:.1%} of {integer.parity.images}" if integer.parity else ""
    audit = (
        (f"{integer.audit.promised_pct:.0f} %", f"{integer.audit.int8_macs_pct:.0f} %") if integer.audit else ("", "")
    )
    return (f"{plain.cosine:.6f}" if plain else "", agreement, *audit)


def main() -> None:
    """Run the names; print each row as it comes, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--export", default="onnx", help="targets, separated by commas")
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    args = parser.parse_args()
    lines = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    print("\n".join(lines))
    for name in args.names:
        for row in rows(name, args.export):
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    if args.out:
        write_text(args.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
