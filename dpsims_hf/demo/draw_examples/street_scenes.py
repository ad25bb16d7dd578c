# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The demo's example scenes in CamVid's label space: invented streets with cars, people and trees."""

from ..drawing.example_maps import CAMVID_CLASSES
from .street_drawing import Street


def avenue() -> Street:
    """Tall houses on the left, big trees behind a fence on the right, two cyclists, an oncoming car."""
    street = Street(CAMVID_CLASSES, seed=1, vanishing_point=(136, 94))
    street.strip("pavement", -200, 200)
    street.strip("road", -2.9, 4.9)
    street.house(-30.0, (88, 120), 9, 2)
    street.house(24.0, (80, 120), 7, 2)
    street.tree(4, 96, 8, 4)
    street.terrace(-6.4, 8, 84, (8.5, 12.0), width=9)
    street.terrace(11.5, 46, 84, (5, 7), width=9)
    for z, height, radius in ((60, 9, 4.2), (45, 10.5, 4.8), (33, 10.5, 4.8), (24, 11, 4.8), (17, 10.5, 4.4)):
        street.tree(12.0, z, height, radius)
    street.hedge(9.6, (16, 70), 2.0)
    street.fence(8.3, (12.0, 64), 1.3)
    street.lamp(-3.6, 40)
    street.lamp(5.8, 30)
    street.car(2.8, 50, van=True)
    street.pedestrian(-4.4, 27)
    street.pedestrian(-5.0, 27.6, stride=0.08)
    street.sign(-3.5, 24, 2.7)
    street.sign(5.7, 22, 2.6, round_plate=False)
    street.pedestrian(6.5, 17)
    street.car(2.6, 14)
    street.cyclist(-1.1, 18)
    street.cyclist(-1.5, 11)
    return street


def parked_cars() -> Street:
    """A narrow town street: terraces, cars parked on both sides, one driving ahead, people on the pavement."""
    street = Street(CAMVID_CLASSES, seed=12, vanishing_point=(124, 98))
    street.strip("pavement", -200, 200)
    street.strip("road", -4.4, 5.0)
    street.house(-22.0, (100, 130), 8, 2)
    street.house(14.0, (96, 130), 9, 3)
    street.tree(-3.5, 104, 8, 4.2)
    street.tree(5.0, 100, 7, 3.6)
    street.terrace(-7.8, 9, 92, (4.8, 9.0), width=8.0)
    street.terrace(8.4, 10, 92, (5.5, 10), width=9.0)
    street.tree(-6.6, 50, 7.0, 2.8)
    for z in (62, 34):
        street.lamp(-5.0, z, 7.5)
    for z in (50, 24):
        street.lamp(5.7, z, 7.5)
    street.pedestrian(-5.6, 29.0)
    for z in (60, 53, 46.5, 39, 33, 26.5):
        street.car(-3.4, z)
    for z in (60, 53, 45, 38, 31, 25):
        street.car(4.0, z, van=z == 31)
    street.sign(-5.0, 24, 2.8, round_plate=False)
    street.car(0.6, 23)
    street.sign(5.7, 21, 2.6)
    street.car(4.0, 17.2)
    street.pedestrian(5.9, 15.0)
    street.pedestrian(6.6, 15.4, stride=0.08)
    street.car(-3.4, 13)
    return street


def suburb() -> Street:
    """An open road under a wide sky: low houses, verges with trees, lamps, a car to follow and a cyclist."""
    street = Street(CAMVID_CLASSES, seed=9, vanishing_point=(112, 98))
    street.strip("tree", -200, 200)
    street.strip("pavement", -6.6, 8.6)
    street.strip("tree", -4.4, 6.0)
    street.strip("road", -3.2, 5.2)
    for x, z in ((-30, 92), (-19, 96), (-9, 100), (1, 104), (9, 100), (20, 96), (34, 92)):
        street.tree(x, z, street.rng.uniform(8, 12), 5.0)
    street.house(-14.0, (60, 74), 5.5, 2.6, chimneys=1)
    street.house(-12.5, (42, 54), 5.5, 2.6, chimneys=1)
    street.house(-11.0, (25, 37), 5.5, 2.6, chimneys=2)
    street.house(14.5, (52, 66), 5.5, 2.6, chimneys=1)
    street.house(12.5, (26, 42), 5.6, 2.8, chimneys=2)
    street.hedge(-9.0, (16, 70), 1.2)
    street.fence(10.0, (18, 66), 1.3)
    for x, z, height, radius in ((-9, 56, 7, 2.6), (10.5, 48, 7, 2.6), (-8.5, 22, 6.0, 2.0), (10.4, 20, 7.2, 2.6)):
        street.tree(x, z, height, radius)
    for z in (62, 32):
        street.lamp(-3.8, z, 8.0)
    for z in (48, 24):
        street.lamp(5.7, z, 8.0)
    street.car(2.6, 46)
    street.sign(5.8, 34, 2.7)
    street.sign(-3.9, 21, 2.6, round_plate=False)
    street.pedestrian(7.2, 16)
    street.car(-1.1, 16)
    street.cyclist(3.4, 13)
    return street


EXAMPLES = {"avenue": avenue, "parked_cars": parked_cars, "suburb": suburb}
