"""Which images are held out, and what a pass goes through: places of images, as `Views` has them."""

import torch

from .views import LOOKS

HELD_OUT = 0.1
"""Share of the images that is not learned from, but looked at."""
HELD_OUT_CALIBRATED = 0.2
"""The same of calibration images, where there are others."""
MOST_HELD_OUT = 200


def apportioned(count: int, calibrated: int, seed: int) -> tuple[list[int], list[int]]:
    """Places of what is held out, and of what is learned from; the last `calibrated` of `count` are calibration images.

    Calibration images are what the backbone will see, but blocks may have learned from them: on these alone it would
    look best as it is. So as many of the others are held out, where there are others; and the rest of the calibration
    images comes so often that it is about half of a pass.
    """
    order, others = shuffled(count, seed, 0), count - calibrated
    if not others or not calibrated:
        aside = held_out(HELD_OUT, count)
        return order[:aside], order[aside:] or order
    first, last = ([place for place in order if (place < others) == early] for early in (True, False))
    aside = held_out(HELD_OUT_CALIBRATED, calibrated)
    beside = min(aside, held_out(HELD_OUT, others))
    looks = min(LOOKS, max(1, round(others / calibrated)))
    again = [place + look * count for look in range(looks) for place in last[aside:]]
    return last[:aside] + first[:beside], first[beside:] + again


def reached(places: list[int], most: int, seed: int) -> list[int]:
    """All places, or so many of them, drawn at random, if that is fewer."""
    return [places[row] for row in shuffled(len(places), seed, 0)[:most]] if most < len(places) else places


def held_out(share: float, count: int) -> int:
    """How many of so many images are held out."""
    return min(max(1, round(share * count)), MOST_HELD_OUT)


def shuffled(count: int, seed: int, number: int) -> list[int]:
    """Places in random order, another for every number."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order
