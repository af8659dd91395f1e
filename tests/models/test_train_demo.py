from pathlib import Path

import torch

from vitc.models import demo, demo_images, train_demo
from vitc.models.weights import read


def test_a_pool_knows_where_its_objects_are() -> None:
    drawn = train_demo.pool(9, 24, workers=0)
    patches = demo_images.SIZE // demo.PATCH
    assert drawn.images.shape == (24, 3, demo_images.SIZE, demo_images.SIZE)
    assert drawn.cover.shape == (24, patches, patches)
    assert drawn.labels.tolist() == [i % len(demo_images.CLASSES) for i in range(24)]
    assert (drawn.cover.amax((1, 2)) > 0.5).all()


def test_batches_keep_image_label_and_cover_together() -> None:
    drawn = train_demo.pool(9, 24, workers=0)
    generator = torch.Generator().manual_seed(0)
    seen = list(train_demo.batches(drawn, 8, 4, generator))
    assert [len(batch.labels) for batch in seen] == [8] * 4
    for batch in seen:
        for image, label, cover in zip(batch.images, batch.labels, batch.cover, strict=True):
            match = next(i for i in range(24) if torch.equal(drawn.cover[i], cover))
            assert drawn.labels[match] == label
            assert torch.equal(image.sort(0).values, drawn.images[match].sort(0).values)


def test_the_rate_rises_once_and_falls_to_nothing() -> None:
    rates = [train_demo.cycle(step, 1000) for step in range(1001)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-6


def test_a_short_training_lowers_the_loss_and_leaves_loadable_weights(tmp_path: Path) -> None:
    plan = train_demo.Plan(
        images=32, steps=6, batch=16, rate=1e-3, workers=0, start=None, out=tmp_path / "demo.safetensors"
    )
    drawn = train_demo.pool(train_demo.POOL_SEED, 32, workers=0)
    torch.manual_seed(0)
    head = torch.nn.Linear(demo.WIDTH, len(demo_images.CLASSES) + 1)
    train_demo.train(plan)
    fresh, trained = train_demo.prepared(None), train_demo.prepared(plan.out)
    with torch.no_grad():
        before, after = (train_demo.loss(model, head, drawn).item() for model in (fresh, trained))
    assert after < before
    assert read(plan.out).metadata["classes"]


def test_spreading_channels_keeps_the_function() -> None:
    torch.manual_seed(0)
    model = train_demo.prepared(None).eval()
    images = torch.randn(4, *demo.PREPROCESSING.input_size)
    with torch.no_grad():
        before = model(images)
        gains = model.get_parameter("blocks.0.norm1.weight").clone()
        after = train_demo.spread(model)(images)
    changed = model.get_parameter("blocks.0.norm1.weight") / gains
    assert torch.allclose(before, after, atol=1e-5)
    assert changed.max() / changed.min() > 4
