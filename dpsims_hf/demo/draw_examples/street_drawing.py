# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A pinhole camera at a driver's eye height that paints a world described in metres into a label map.

x points to the right, y up, z forward; shapes are painted from far to near, each pixel gets one class index.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw


HEIGHT, WIDTH = 192, 256
EYE_HEIGHT = 1.5  # metres
NEAR = 1.6  # nothing nearer than this is projected

Point = tuple[float, float, float]


def convex_hull(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Corners of the convex hull of 2-D points, in order (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    chains = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for x, y in sequence:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], (x, y)) <= 0:
                chain.pop()
            chain.append((x, y))
        chains.append(chain[:-1])
    return chains[0] + chains[1]


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> list[Point]:
    """The eight corners of a box."""
    return [(a, b, c) for a in x for b in y for c in z]


class Street:
    """A label map under construction.

    Args:
        classes: name -> colour of each class, in the order of the ids. Shapes need the classes that they are made of.
        seed: of everything irregular (tree crowns, roofs).
        vanishing_point: (column, row) where the road ends; the row is the horizon.
        focal: focal length in pixels; about the width for a dashboard camera.
    """

    tree_label = "tree"

    def __init__(
        self,
        classes: Mapping[str, tuple[int, int, int]],
        seed: int,
        vanishing_point: tuple[float, float] = (128, 98),
        focal: float = 260.0,
    ) -> None:
        self.classes = dict(classes)
        self.ids = {name: index for index, name in enumerate(classes)}
        self.rng = np.random.default_rng(seed)
        self.centre, self.horizon = vanishing_point
        self.focal = focal
        self.image = Image.new("L", (WIDTH, HEIGHT), self.ids["sky"])
        self.draw = ImageDraw.Draw(self.image)

    def project(self, point: Point) -> tuple[float, float]:
        """A point in metres -> (column, row) in pixels."""
        x, y, z = point
        scale = self.focal / max(z, NEAR)
        return self.centre + scale * x, self.horizon + scale * (EYE_HEIGHT - y)

    def polygon(self, label: str, points: Sequence[Point]) -> None:
        self.draw.polygon([self.project(point) for point in points], fill=self.ids[label])

    def solid(self, label: str, points: Iterable[Point]) -> None:
        """The silhouette of a convex solid, given by its corners."""
        self.draw.polygon(convex_hull(self.project(point) for point in points), fill=self.ids[label])

    def disc(self, label: str, centre: Point, radius: float, aspect: float = 1.0) -> None:
        """A disc that faces the camera; `aspect` is width over height."""
        column, row = self.project(centre)
        half = radius * self.focal / max(centre[2], NEAR)
        box_ = (column - half * aspect, row - half, column + half * aspect, row + half)
        self.draw.ellipse(box_, fill=self.ids[label])

    def post(self, label: str, start: Point, end: Point, thickness: float) -> None:
        """A line of some metres' thickness, one pixel at least."""
        width = max(1, round(thickness * self.focal / max(start[2], NEAR)))
        self.draw.line([self.project(start), self.project(end)], fill=self.ids[label], width=width)

    def palette_image(self) -> Image.Image:
        """(height, width) palette image: pixel values are class indices, the palette holds the classes' colours."""
        image = self.image.copy()
        image.putpalette([channel for color in self.classes.values() for channel in color])
        return image

    # -- the ground -----------------------------------------------------------------------------------------------

    def strip(self, label: str, left: float, right: float, z: tuple[float, float] = (NEAR, 400.0)) -> None:
        """A strip of the ground plane between two x."""
        self.polygon(label, [(left, 0, z[0]), (left, 0, z[1]), (right, 0, z[1]), (right, 0, z[0])])

    # -- what stands beside the road ------------------------------------------------------------------------------

    def house(self, side: float, z: tuple[float, float], eaves: float, ridge: float = 0.0, chimneys: int = 0) -> None:
        """A house whose front stands at x = `side` (its sign says on which side of the road).

        Args:
            side: x of the front.
            z: where the front begins and ends.
            eaves: height of the wall.
            ridge: how much higher the roof's ridge is; the roof counts as building.
            chimneys: how many stand on the ridge.
        """
        back = side + np.sign(side) * 9.0
        middle = (side + back) / 2
        self.solid("building", box((side, back), (0, eaves), z))
        if ridge:
            roof = [(x, eaves, depth) for x in (side, back) for depth in z]
            self.solid("building", roof + [(middle, eaves + ridge, depth) for depth in z])
        for place in np.linspace(z[0], z[1], chimneys + 2)[1:-1]:
            foot = eaves + ridge
            self.solid("building", box((middle - 0.5, middle + 0.5), (foot - 0.5, foot + 1.3), (place, place + 0.8)))

    def terrace(
        self, side: float, start: float, stop: float, heights: tuple[float, float], width: float = 7.0
    ) -> None:
        """A row of adjoining houses of random heights, drawn from far to near."""
        fronts = np.arange(start, stop, width)
        for near in fronts[::-1]:
            eaves, ridge = self.rng.uniform(*heights), self.rng.choice([0.0, 1.6, 2.4])
            self.house(side, (near, near + width), eaves, ridge, chimneys=int(self.rng.integers(0, 2)))

    def tree(self, x: float, z: float, height: float, radius: float) -> None:
        """Trunk and a ragged crown made of many discs."""
        self.post(self.tree_label, (x, 0, z), (x, height - radius, z), 0.35)
        for size in np.geomspace(0.4, 0.05, 220):  # large masses first, then twigs that reach beyond them
            angle, reach = self.rng.uniform(0, 2 * np.pi), np.sqrt(self.rng.uniform(0, 1.2 - 0.5 * size))
            leaf = radius * size
            where = (x + reach * radius * np.cos(angle), height - radius + 0.85 * reach * radius * np.sin(angle), z)
            self.disc(self.tree_label, where, leaf)

    def hedge(self, x: float, z: tuple[float, float], height: float) -> None:
        """Low greenery along the road with an uneven top."""
        self.polygon(self.tree_label, [(x, 0, z[0]), (x, height, z[0]), (x, height, z[1]), (x, 0, z[1])])
        for depth in np.linspace(z[1], z[0], 40):
            self.disc(self.tree_label, (x, height * self.rng.uniform(0.8, 1.0), depth), height * 0.3)

    def fence(self, x: float, z: tuple[float, float], height: float = 1.1) -> None:
        self.polygon("fence", [(x, 0, z[0]), (x, height, z[0]), (x, height, z[1]), (x, 0, z[1])])

    def lamp(self, x: float, z: float, height: float = 8.0) -> None:
        """A street lamp that bends over the road."""
        arm = -np.sign(x) * 1.6
        self.post("pole", (x, 0, z), (x, height, z), 0.16)
        self.post("pole", (x, height, z), (x + arm, height + 0.3, z), 0.12)
        self.post("pole", (x + arm, height + 0.3, z), (x + 1.5 * arm, height + 0.3, z), 0.26)

    def sign(self, x: float, z: float, height: float = 2.6, round_plate: bool = True) -> None:
        """A traffic sign: pole and plate."""
        self.post("pole", (x, 0, z), (x, height, z), 0.1)
        if round_plate:
            self.disc("sign", (x, height, z), 0.4)
        else:
            self.solid("sign", box((x - 0.45, x + 0.45), (height - 0.7, height + 0.5), (z, z)))

    # -- who is on the road ---------------------------------------------------------------------------------------

    def car(self, x: float, z: float, scale: float = 1.0, van: bool = False) -> None:
        """A car parallel to the road; `z` is its near end. Body, cabin and wheels are one class.

        Args:
            x: of its middle.
            z: of its near end.
            scale: of the whole car.
            van: a high box instead of a cabin.
        """
        body = box((-0.88, 0.88), (0.28, 0.72), (0.0, 4.2)) + box((-0.84, 0.84), (0.28, 0.95), (0.15, 3.9))
        cabin = box((-0.82, 0.82), (0.9, 0.9), (0.2, 3.1)) + box((-0.6, 0.6), (1.38, 1.38), (0.8, 2.2))
        cabin += box((-0.5, 0.5), (1.46, 1.46), (1.0, 2.0))
        if van:
            cabin = box((-0.86, 0.86), (0.9, 1.8), (0.1, 3.4)) + box((-0.78, 0.78), (2.05, 2.05), (0.2, 3.2))
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        wheels = [
            [(i, 0.33 + 0.33 * np.sin(a), axle + 0.33 * np.cos(a)) for a in angles for i in inner]
            for axle in (3.4, 0.75)
            for inner in ((-0.86, -0.62), (0.62, 0.86))
        ]
        for part in (*wheels, body, cabin):
            self.solid("car", [(x + scale * a, scale * b, z + scale * c) for a, b, c in part])

    def _person(self, label: str, x: float, z: float, lift: float, stride: float) -> None:
        """Head, trunk, arms and legs facing the camera; `lift` raises the hips (a saddle), `stride` parts the feet."""
        hip = 0.88 + lift
        self.disc(label, (x, hip + 0.76, z), 0.125, aspect=0.85)
        outline = ((0.22, 0.55), (0.07, 0.66), (0.17, -0.05))  # shoulders, neck, hips
        self.solid(label, [(x + side * half, hip + up, z) for half, up in outline for side in (-1, 1)])
        for sign in (-1, 1):
            self.post(label, (x + sign * 0.24, hip + 0.52, z), (x + sign * 0.28, hip - 0.02, z), 0.1)
            self.post(label, (x + sign * 0.09, hip, z), (x + sign * stride, lift * 2.0, z), 0.17)

    def pedestrian(self, x: float, z: float, stride: float = 0.16) -> None:
        self._person("pedestrian", x, z, lift=0.0, stride=stride)

    def cyclist(self, x: float, z: float) -> None:
        """Rider and bicycle seen from behind."""
        self.disc("bicyclist", (x, 0.36, z), 0.36, aspect=0.22)
        self.post("bicyclist", (x, 0.3, z), (x, 1.0, z), 0.14)
        self.post("bicyclist", (x - 0.3, 1.08, z), (x + 0.3, 1.08, z), 0.1)
        self._person("bicyclist", x, z, lift=0.12, stride=0.12)


__all__ = ["HEIGHT", "WIDTH", "Point", "Street", "box", "convex_hull"]
