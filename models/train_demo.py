"""Train the demo's backbone: `python -m vitc.models.train_demo`, about an hour on two cores.

Draws a pool of images once, then learns them with their colour channels in every order. The drawing knows where its
object is, so every patch learns what it shows too, through a linear head that is thrown away: a small transformer finds
the classes many times sooner so. AdamW, one cycle of cosine; an average of the weights over the last steps is kept.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..atomic import replacing
from . import demo, demo_images
from .timm_ready import timm

POOL_SEED, CHECK_SEED = 0, 1
"""Seeds of the images learned and of those that watch the training; the demo scores another seed."""


@dataclass(frozen=True)
class Pool:
    """Images as bytes [N, 3, H, W], their classes [N], and how far the object covers each patch [N, h, w]."""

    images: Tensor
    labels: Tensor
    cover: Tensor


SPREAD = 1.2
"""Powers of two by which channels are spread, either way."""

CHECK_EVERY = 500
"""Steps between two looks at the images that watch."""


def pool(seed: int, images: int, workers: int) -> Pool:
    """The first `images` images of `seed`."""
    if workers:
        with ProcessPoolExecutor(workers) as processes:
            drawn = list(processes.map(_draw, [seed] * images, range(images), chunksize=256))
    else:
        drawn = [_draw(seed, index) for index in range(images)]
    return Pool(
        torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([demo_images.label(index) for index in range(images)]),
        torch.from_numpy(np.stack([cover for _, cover in drawn])),
    )


def _draw(seed: int, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    image, cover = demo_images.draw_and_cover(seed, index)
    patches = demo_images.SIZE // demo.PATCH
    return image, cover.reshape(patches, demo.PATCH, patches, demo.PATCH).mean((1, 3))


def normalized(images: Tensor) -> Tensor:
    """Bytes to the floats that the backbone expects."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (demo.PREPROCESSING.mean, demo.PREPROCESSING.std))
    return (images.float() / 255 - mean) / std


def batches(learned: Pool, size: int, steps: int, generator: torch.Generator) -> Iterator[Pool]:
    """`steps` batches, each with its colour channels in one random order, reshuffled after every pass."""
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(len(learned.images), generator=generator)
        chosen, order = order[:size], order[size:]
        channels = torch.randperm(3, generator=generator)
        yield Pool(learned.images[chosen][:, channels], learned.labels[chosen], learned.cover[chosen])


def loss(model: nn.Module, patch_head: nn.Module, batch: Pool) -> Tensor:
    """Cross-entropy of the image's class, and of each patch's: the object's as far as it is covered, else "ground"."""
    tokens = model.forward_features(normalized(batch.images))  # type: ignore[operator]
    image_loss = nn.functional.cross_entropy(model.forward_head(tokens).float(), batch.labels)  # type: ignore[operator]
    logits = patch_head(tokens[:, 1:]).float()
    target = torch.zeros_like(logits)
    cover = batch.cover.flatten(1)
    target[..., -1] = 1 - cover
    target.scatter_(2, batch.labels.view(-1, 1, 1).expand(-1, logits.shape[1], 1), cover[..., None])
    return image_loss + nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(0, 1))


def accuracy(model: nn.Module, watched: Pool) -> float:
    """Top-1 in percent."""
    with torch.inference_mode():
        predicted = torch.cat([model(normalized(images)).argmax(1) for images in watched.images.split(250)])
    return 100 * (predicted == watched.labels).float().mean().item()


def bf16_pays() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    capabilities = torch.backends.cpu.get_cpu_capability(), torch.cpu.get_capabilities()
    return bool(capabilities[1].get("amx_bf16") or capabilities[1].get("avx512_bf16"))


@dataclass(frozen=True)
class Plan:
    """How much is drawn and learned, from which weights (None: fresh ones), and where the result goes."""

    images: int
    steps: int
    batch: int
    rate: float
    workers: int
    start: Path | None
    out: Path


def train(plan: Plan) -> None:
    """Train, and keep the averaged weights in `plan.out` at every check."""
    started = time.monotonic()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = prepared(plan.start)
    patch_head = nn.Linear(demo.WIDTH, len(demo_images.CLASSES) + 1)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    optimizer = torch.optim.AdamW(
        [*model.parameters(), *patch_head.parameters()], plan.rate, weight_decay=0.05, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cycle(step, plan.steps))
    learned, watched = pool(POOL_SEED, plan.images, plan.workers), pool(CHECK_SEED, 2000, plan.workers)
    print(f"{plan.images} images drawn in {time.monotonic() - started:.0f} s", flush=True)
    for step, batch in enumerate(batches(learned, plan.batch, plan.steps, generator), 1):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
            error = loss(model, patch_head, batch)
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % CHECK_EVERY == 0 or step == plan.steps:
            top1, seconds = accuracy(average.module.eval(), watched), time.monotonic() - started
            save(average.module if step < plan.steps else spread(average.module), plan.out)
            print(f"step {step}: loss {error.item():.3f}, top-1 {top1:.2f} %, {seconds:.0f} s", flush=True)


def prepared(start: Path | None) -> nn.Module:
    """The backbone to train: from earlier weights, or fresh with sine-cosine positions, which it soon learns from."""
    model = demo.build().train()
    if start:
        model.load_state_dict({name: tensor.float() for name, tensor in load_file(start).items()})
        return model
    grid = [demo_images.SIZE // demo.PATCH] * 2
    with torch.no_grad():
        positions: Tensor = model.get_parameter("pos_embed")
        positions[:, 1:] = timm.layers.build_sincos2d_pos_embed(grid, demo.WIDTH) / 2
    return model


def cycle(step: int, steps: int) -> float:
    """The share of the rate at a step: a short rise, then half a cosine."""
    warmup = min(300, max(1, steps // 10))
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0, step - warmup) / max(1, steps - warmup))
    return min((step + 1) / warmup, fall)


def spread(model: nn.Module) -> nn.Module:
    """Give the channels after each LayerNorm ranges up to five times apart, and undo it in the layer that reads them.

    The function stays the same. Large transformers grow such channels by themselves, and they are what makes low bits
    hard; a small one that was trained for an hour has none, and would tell good techniques from bad ones too little.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in model.get_submodule("blocks").children():
            for norm, reader in (("norm1", "attn.qkv"), ("norm2", "mlp.fc1")):
                gain = block.get_parameter(f"{norm}.weight")
                factor = 2 ** (SPREAD * (2 * torch.rand(gain.shape, generator=generator) - 1))
                gain.mul_(factor)
                block.get_parameter(f"{norm}.bias").mul_(factor)
                block.get_parameter(f"{reader}.weight").div_(factor)
    return model


def save(model: nn.Module, out: Path) -> None:
    """Half-precision weights: a rounding far below what the training leaves open."""
    halves = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(out) as partial:
        save_file(halves, partial, metadata={"classes": json.dumps(demo_images.CLASSES)})


def main() -> None:
    """Parse, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40000)
    parser.add_argument("--steps", type=int, default=14000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--start", type=Path, help="weights of an earlier training to go on from")
    parser.add_argument("--out", type=Path, default=demo.WEIGHTS)
    train(Plan(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
