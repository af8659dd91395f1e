"""Which images are held out, and what a pass goes through: places of images, as `Views` has them."""

import torch

from .views import LOOKS

HELD_OUT = 0.1
"""Share of the images that is not learned from, but looked at."""
SET_ASIDE = 0.2
"""The same of calibration images."""
MOST_HELD_OUT = 200


def set_aside(calibrated: int, seed: int) -> list[int]:
    """Which of so many calibration images nothing learns from: what was learned is held against them."""
    return shuffled(calibrated, seed, 0)[: held_out(SET_ASIDE, calibrated)] if calibrated > 1 else []


def apportioned(count: int, calibrated: int, seed: int) -> tuple[list[int], list[int]]:
    """Places of what is held out, and of what is learned from; the last `calibrated` of `count` are calibration images.

    Calibration images are what the backbone will see: those that were set aside are held out, and the others come so
    often that they are about half of a pass. Of other images as many are held out.
    """
    order, others = shuffled(count, seed, 0), count - calibrated
    held = [others + place for place in set_aside(calibrated, seed)]
    aside = set(held)
    first = [place for place in order if place < others]
    last = [place for place in order if place >= others and place not in aside]
    beside = held_out(HELD_OUT, others) if others else 0
    beside = min(beside, len(held)) if held else beside
    looks = min(LOOKS, max(1, round(others / calibrated))) if calibrated else 0
    again = [place + look * count for look in range(looks) for place in last]
    return held + first[:beside], first[beside:] + again or order


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
