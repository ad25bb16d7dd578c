# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The demo's example scenes in LabelMeFacade's label space: houses with windows and doors, parks, parked cars."""

from collections.abc import Sequence

import numpy as np

from ..drawing.example_maps import FACADE_CLASSES
from .street_drawing import Point, Street, box


FLOOR = 3.1  # metres from floor to floor

# Half of a car seen from its side, in metres along and up: from the front bumper over the roof to the tail.
SEDAN = ((0.0, 0.35), (0.02, 0.66), (0.2, 0.78), (1.15, 0.92), (1.75, 1.38), (2.1, 1.45), (2.9, 1.45), (3.25, 1.36))
SEDAN += ((3.75, 0.98), (4.2, 0.92), (4.3, 0.7), (4.28, 0.35))
HATCHBACK = ((0.0, 0.35), (0.02, 0.7), (0.2, 0.8), (0.95, 0.95), (1.55, 1.42), (1.9, 1.52), (3.0, 1.5), (3.45, 1.36))
HATCHBACK += ((3.75, 0.95), (3.8, 0.6), (3.76, 0.35))
VAN = ((0.0, 0.35), (0.02, 0.85), (0.25, 1.0), (0.8, 1.12), (1.35, 1.85), (1.6, 2.0), (4.5, 2.0), (4.7, 1.85))
VAN += ((4.75, 0.6), (4.7, 0.35))


class FacadeStreet(Street):
    """A street whose houses have windows and doors; fronts face the camera or line the road."""

    tree_label = "vegetation"

    def __init__(self, seed: int, vanishing_point: tuple[float, float] = (128, 112), focal: float = 260.0) -> None:
        super().__init__(FACADE_CLASSES, seed, vanishing_point, focal)

    # -- houses -----------------------------------------------------------------------------------------------------

    def _opening(self, label: str, start: Point, step: Point, along: float, y: float, size: Sequence[float]) -> None:
        """A rectangle on a wall: `start` is the wall's foot, `step` the direction of one metre along it."""
        ends = [(start[0] + step[0] * a, start[2] + step[2] * a) for a in (along, along + size[0])]
        corners = ((0, y), (0, y + size[1]), (1, y + size[1]), (1, y))
        self.polygon(label, [(ends[end][0], height, ends[end][1]) for end, height in corners])

    def openings(
        self,
        start: Point,
        step: Point,
        length: float,
        floors: int,
        axes: int,
        doors: Sequence[int] = (0,),
        window: tuple[float, float] = (1.15, 1.65),
    ) -> None:
        """Windows in rows and columns, and doors in the ground floor.

        Args:
            start: the wall's foot at one end.
            step: the direction of one metre along the wall.
            length: of the wall.
            floors: rows of windows.
            axes: columns.
            doors: the columns that have a door in the ground floor.
            window: width and height.
        """
        for axis in range(axes):
            middle = length * (axis + 0.5) / axes
            for floor in range(floors):
                if floor == 0 and axis in doors:
                    self._opening("door", start, step, middle - 0.6, 0.1, (1.2, 2.4))
                else:
                    self._opening("window", start, step, middle - window[0] / 2, floor * FLOOR + 1.0, window)

    def front(
        self,
        x: float,
        width: float,
        z: float,
        floors: int,
        axes: int,
        doors: Sequence[int] = (0,),
        roof: str = "gable",
        chimneys: Sequence[float] = (),
        window: tuple[float, float] = (1.15, 1.65),
    ) -> None:
        """A house that faces the camera.

        Args:
            x: its left end.
            width: of the wall.
            z: distance of the wall.
            floors: rows of windows.
            axes: columns of windows.
            doors: the columns with a door.
            roof: "flat", "gable" (its triangle faces the camera) or "slope" (the eaves do).
            chimneys: where they stand, as a fraction of the width.
            window: width and height.
        """
        eaves, right = floors * FLOOR + 0.4, x + width
        tops = {
            "flat": [(x, eaves + 0.7), (right, eaves + 0.7)],
            "gable": [(x, eaves), (x + width / 2, eaves + width * 0.36), (right, eaves)],
            "slope": [(x - 0.3, eaves), (x + 0.9, eaves + 2.2), (right - 0.9, eaves + 2.2), (right + 0.3, eaves)],
        }[roof]
        ridge = max(top for _, top in tops)
        for place in chimneys:
            middle = x + place * width
            self.solid("building", box((middle - 0.45, middle + 0.45), (eaves, ridge + 0.9), (z, z)))
        self.polygon("building", [(x, 0, z), *((a, b, z) for a, b in tops), (right, 0, z)])
        self.openings((x, 0, z), (1, 0, 0), width, floors, axes, doors, window)
        if roof == "gable" and width > 6:
            self._opening("window", (x, 0, z), (1, 0, 0), width / 2 - 0.5, eaves + 0.5, (1.0, 1.1))

    def row(self, side: float, start: float, stop: float, floors: tuple[int, int], width: float = 9.0) -> None:
        """Adjoining houses along the road with windows and doors in their fronts, drawn from far to near."""
        for near in np.arange(start, stop, width)[::-1]:
            count = int(self.rng.integers(floors[0], floors[1] + 1))
            ridge = float(self.rng.choice([0.0, 1.8, 2.4]))
            self.house(side, (near, near + width), count * FLOOR + 0.5, ridge, chimneys=int(self.rng.integers(0, 2)))
            if near < 60:  # farther away a window is less than a pixel wide
                door = int(self.rng.integers(0, 3))
                self.openings((side, 0, near), (0, 0, 1), width, count, 3, (door,), (1.4, 1.75))

    # -- greenery and cars ------------------------------------------------------------------------------------------

    def bush(self, x: float, z: float, width: float, height: float) -> None:
        """Something low and round without a trunk."""
        for place in np.linspace(-0.5, 0.5, 12):
            radius = height * self.rng.uniform(0.3, 0.5) * (1 - abs(place))
            self.disc(self.tree_label, (x + place * width, radius * 0.9, z), radius * 1.25)

    def parked(self, x: float, z: float, profile: Sequence[tuple[float, float]] = SEDAN, flip: bool = False) -> None:
        """A car seen from its side; body and wheels are one class.

        Args:
            x: its left end.
            z: its distance.
            profile: the outline without wheels.
            flip: the front is on the right.
        """
        length = max(along for along, _ in profile)

        def place(along: float) -> float:
            return x + (length - along if flip else along)

        self.polygon("car", [(place(along), up, z) for along, up in profile])
        for axle in (0.82, length - 0.85):
            self.disc("car", (place(axle), 0.33, z), 0.33)


def lane() -> FacadeStreet:
    """A narrow street of old houses, cars along one side."""
    street = FacadeStreet(seed=3, vanishing_point=(118, 112), focal=230)
    street.strip("pavement", -200, 200)
    street.strip("road", -2.6, 3.2)
    street.front(-14, 12, 88, 3, 4)
    street.front(-2, 11, 92, 3, 4, roof="slope")
    street.tree(1.5, 84, 7, 3)
    street.row(-4.2, 5, 80, (2, 3), width=8)
    street.row(4.8, 6, 80, (2, 4), width=9)
    street.tree(-3.5, 34, 5.2, 1.6)
    for z in (46, 39, 31.5, 24.5, 18):
        street.car(2.2, z, van=z == 31.5)
    street.car(-1.0, 28)
    return street


def square() -> FacadeStreet:
    """A wide paved place before town houses, trees on it, cars at its far side."""
    street = FacadeStreet(seed=5, vanishing_point=(128, 112), focal=260)
    street.strip("road", -200, 200, (26, 400))
    street.strip("pavement", -200, 200, (37, 400))
    street.strip("pavement", -200, 200, (1.6, 28))
    street.tree(-1.5, 60, 13, 5)
    street.front(-24, 12, 40, 3, 5, doors=(2,), roof="slope", chimneys=(0.25, 0.75))
    street.front(-12, 8.5, 40, 3, 3, doors=(1,), roof="gable")
    street.front(2.5, 9, 40, 3, 4, doors=(0,), roof="flat")
    street.front(11.5, 13, 40, 4, 5, doors=(2,), roof="slope", chimneys=(0.3,))
    for x, profile, flip in ((-17, SEDAN, False), (-9, HATCHBACK, True), (4, SEDAN, True), (12, VAN, False)):
        street.parked(x, 33, profile, flip)
    for x, z, height, radius in ((-11.5, 26, 6.8, 2.4), (10.5, 25, 6.6, 2.4), (0.6, 27, 5.6, 1.9)):
        street.tree(x, z, height, radius)
    street.bush(-4.2, 24, 3.0, 0.9)
    street.bush(5.6, 24, 3.0, 0.9)
    return street


def park() -> FacadeStreet:
    """Lawns with a path and large trees, a villa behind them, a road in front."""
    street = FacadeStreet(seed=8, vanishing_point=(128, 104), focal=240)
    street.strip("vegetation", -200, 200)
    street.polygon("pavement", [(-2.6, 0, 13), (-1.2, 0, 48), (1.4, 0, 48), (2.2, 0, 13)])
    for x in (-34, -25, -15, 14, 24, 33):
        street.tree(x, 62, street.rng.uniform(10, 14), 5.5)
    street.front(-7.5, 15, 48, 2, 5, doors=(2,), roof="slope", chimneys=(0.2, 0.8))
    street.front(17, 10, 58, 3, 3, roof="gable")
    for x, z, height, radius in ((-13, 40, 10, 3.8), (11.5, 38, 9, 3.6), (-9.5, 24, 9.5, 3.4), (9.8, 22, 8.2, 3.0)):
        street.tree(x, z, height, radius)
    for x, z in ((-4.2, 40), (4.4, 40), (-4.8, 30), (5.2, 30)):
        street.bush(x, z, 3.0, 1.3)
    street.strip("pavement", -200, 200, (11, 13.5))
    street.strip("road", -200, 200, (1.6, 11))
    street.parked(-5.8, 15, HATCHBACK, flip=True)
    street.parked(2.8, 15.5, SEDAN)
    return street


def facade() -> FacadeStreet:
    """The front of one large house, near enough to fill the picture."""
    street = FacadeStreet(seed=4, vanishing_point=(128, 140), focal=260)
    street.strip("road", -200, 200)
    street.strip("pavement", -200, 200, (13.5, 400))
    street.front(-16.5, 8.5, 21, 2, 3, doors=(1,), roof="slope")
    street.front(-8.0, 19.0, 21, 3, 7, doors=(1, 5), roof="flat", window=(1.2, 1.75))
    street.bush(-6.6, 20, 1.6, 0.9)
    street.bush(2.0, 20, 2.2, 0.9)
    street.tree(8.6, 18, 5.4, 1.7)
    street.parked(-6.0, 16, SEDAN)
    street.parked(1.2, 16, HATCHBACK, flip=True)
    return street


def boulevard() -> FacadeStreet:
    """A broad road between rows of trees and tall houses, traffic in both directions."""
    street = FacadeStreet(seed=6, vanishing_point=(132, 108), focal=240)
    street.strip("pavement", -200, 200)
    street.strip("road", -6.8, 6.8)
    street.front(-24, 16, 120, 4, 6)
    street.front(8, 14, 120, 4, 6, roof="flat")
    for z in (130, 118):
        street.tree(0.5, z, 9, 5)
    street.row(-13.0, 10, 100, (3, 5), width=12)
    street.row(13.5, 8, 100, (3, 4), width=12)
    for z in (84, 66, 51, 39, 29):
        street.tree(-8.6, z, street.rng.uniform(7, 8.2), 2.4)
        street.tree(8.8, z + 3, street.rng.uniform(7, 8.2), 2.4)
    for x, z in ((-2.2, 70), (2.0, 56), (5.6, 48), (-2.2, 38), (5.6, 34), (2.2, 26), (-5.4, 24), (-2.0, 19)):
        street.car(x, z, van=z == 48)
    return street


def terrace() -> FacadeStreet:
    """Small houses wall to wall, roofs and chimneys against the sky, cars before their doors."""
    street = FacadeStreet(seed=7, vanishing_point=(128, 120), focal=260)
    street.strip("road", -200, 200)
    street.strip("pavement", -200, 200, (19, 400))
    for x, tall in ((-26, 12), (20, 11)):
        street.tree(x, 60, tall, 5)
    for index, x in enumerate(np.arange(-17.5, 17.0, 6.0)):
        roof, floors = ("slope", "gable", "slope", "slope", "gable", "slope")[index], (2, 2, 3, 2, 2, 2)[index]
        street.front(x, 6.0, 27, floors, 2 if roof == "gable" else 3, (index % 2,), roof, (0.15,))
    street.bush(-9.6, 26, 1.8, 1.2)
    street.bush(8.8, 26, 2.2, 1.1)
    for x, profile, flip in ((-11.2, HATCHBACK, False), (-4.6, SEDAN, True), (2.0, SEDAN, False), (7.6, VAN, True)):
        street.parked(x, 21.5, profile, flip)
    return street


def corner() -> FacadeStreet:
    """A corner house with a low row beside it, a tree, and a car that waits."""
    street = FacadeStreet(seed=11, vanishing_point=(190, 112), focal=240)
    street.strip("pavement", -200, 200)
    street.strip("road", -3.0, 4.5)
    street.strip("road", -200, 200, (1.6, 13))
    street.tree(0.5, 90, 9, 5)
    street.row(6.2, 22, 90, (2, 3), width=9)
    street.row(-5.2, 27, 90, (2, 2), width=9)
    street.solid("building", box((-5.0, -5.0), (0, 4 * FLOOR + 1), (17, 27)) + box((-15, -14), (0, 13.4), (17, 17)))
    street.openings((-5.0, 0, 17), (0, 0, 1), 10, 4, 3, (), (1.3, 1.75))
    street.front(-17.5, 12.5, 17, 4, 5, doors=(3,), roof="flat", window=(1.2, 1.75))
    street.tree(5.4, 20, 6.4, 2.2)
    street.tree(-11.6, 15.5, 4.6, 1.4)
    street.car(2.4, 30)
    street.parked(-9.0, 12.2, SEDAN, flip=True)
    return street


EXAMPLES = {
    "boulevard": boulevard,
    "corner": corner,
    "facade": facade,
    "lane": lane,
    "park": park,
    "square": square,
    "terrace": terrace,
}


__all__ = ["EXAMPLES", "FacadeStreet"]
