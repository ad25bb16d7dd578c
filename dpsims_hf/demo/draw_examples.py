# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Draws the example label maps of the demo: three invented streets in CamVid's label space.

No pixel comes from a data set. A pinhole camera at a driver's eye height looks at a world described in metres
(x to the right, y up, z forward); shapes are painted from far to near, each pixel gets one class index. The files are
palette PNGs, so that a viewer shows colours and a program reads indices.

    python -m dpsims_hf.demo.draw_examples [--output_dir DIR]
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


EXAMPLES_DIR = Path(__file__).parent / "examples"
HEIGHT, WIDTH = 192, 256
EYE_HEIGHT = 1.5  # metres
NEAR = 1.6  # nothing nearer than this is projected

# CamVid's eleven classes in the order and the colours of the SegNet release.
CLASSES: dict[str, tuple[int, int, int]] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
IDS = {name: index for index, name in enumerate(CLASSES)}

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
        seed: of everything irregular (tree crowns, roofs).
        vanishing_point: (column, row) where the road ends; the row is the horizon.
        focal: focal length in pixels; about the width for a dashboard camera.
    """

    def __init__(self, seed: int, vanishing_point: tuple[float, float] = (128, 98), focal: float = 260.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.centre, self.horizon = vanishing_point
        self.focal = focal
        self.image = Image.new("L", (WIDTH, HEIGHT), IDS["sky"])
        self.draw = ImageDraw.Draw(self.image)

    def project(self, point: Point) -> tuple[float, float]:
        """A point in metres -> (column, row) in pixels."""
        x, y, z = point
        scale = self.focal / max(z, NEAR)
        return self.centre + scale * x, self.horizon + scale * (EYE_HEIGHT - y)

    def polygon(self, label: str, points: Sequence[Point]) -> None:
        self.draw.polygon([self.project(point) for point in points], fill=IDS[label])

    def solid(self, label: str, points: Iterable[Point]) -> None:
        """The silhouette of a convex solid, given by its corners."""
        self.draw.polygon(convex_hull(self.project(point) for point in points), fill=IDS[label])

    def disc(self, label: str, centre: Point, radius: float, aspect: float = 1.0) -> None:
        """A disc that faces the camera; `aspect` is width over height."""
        column, row = self.project(centre)
        half = radius * self.focal / max(centre[2], NEAR)
        box_ = (column - half * aspect, row - half, column + half * aspect, row + half)
        self.draw.ellipse(box_, fill=IDS[label])

    def post(self, label: str, start: Point, end: Point, thickness: float) -> None:
        """A line of some metres' thickness, one pixel at least."""
        width = max(1, round(thickness * self.focal / max(start[2], NEAR)))
        self.draw.line([self.project(start), self.project(end)], fill=IDS[label], width=width)

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
        self.post("tree", (x, 0, z), (x, height - radius, z), 0.35)
        for size in np.geomspace(0.4, 0.05, 220):  # large masses first, then twigs that reach beyond them
            angle, reach = self.rng.uniform(0, 2 * np.pi), np.sqrt(self.rng.uniform(0, 1.2 - 0.5 * size))
            leaf = radius * size
            where = (x + reach * radius * np.cos(angle), height - radius + 0.85 * reach * radius * np.sin(angle), z)
            self.disc("tree", where, leaf)

    def hedge(self, x: float, z: tuple[float, float], height: float) -> None:
        """Low greenery along the road with an uneven top."""
        self.polygon("tree", [(x, 0, z[0]), (x, height, z[0]), (x, height, z[1]), (x, 0, z[1])])
        for depth in np.linspace(z[1], z[0], 40):
            self.disc("tree", (x, height * self.rng.uniform(0.8, 1.0), depth), height * 0.3)

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


def avenue() -> Street:
    """Tall houses on the left, big trees behind a fence on the right, two cyclists, an oncoming car."""
    street = Street(seed=1, vanishing_point=(136, 94))
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
    street = Street(seed=12, vanishing_point=(124, 98))
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
    street = Street(seed=9, vanishing_point=(112, 98))
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


def palette_image(street: Street) -> Image.Image:
    """(height, width) palette image: pixel values are class indices, the palette holds CamVid's colours."""
    image = street.image.copy()
    image.putpalette([channel for color in CLASSES.values() for channel in color])
    return image


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output_dir", type=Path, default=EXAMPLES_DIR, help="where the PNG files go")
    output_dir = parser.parse_args(arguments).output_dir
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, scene in EXAMPLES.items():
        palette_image(scene()).save(output_dir / f"{name}.png", optimize=True)
        print(output_dir / f"{name}.png")


if __name__ == "__main__":
    main()
