# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What is in a dataset, what is wrong with it, and which label space it has.

    python -m dpsims_hf.data.inspect DIR
    python -m dpsims_hf.data.inspect REPO [--classes_file NAME_OR_FILE --image_column image --label_column label_map]

DIR is in the local layout, an original folder of Cityscapes, ADE20K or COCO-Stuff, or written by
`dpsims_hf.data.prepare`. Prints classes, pixel and image frequencies, void share, sizes, the known label spaces that
fit the values, and every problem by file; does not stop at the first. Exit code 1 if there is a problem.
"""

import argparse
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..commands import needs
from ..configuration_rules import shown
from ..image_processing_reading import READINGS
from .dataset import SemanticImageDataset
from .encodings.class_tables import find_class_table
from .reading.contact_sheet import contact_sheet
from .reading.labelled_pixels import empty_maps, void_share
from .reading.report import ReadingReport, doubts
from .sources.hub_loading import resolve_hub_dataset
from .sources.layouts import files_table, open_layout, recognise_layout, unknown_layout
from .sources.mask_layouts import NoClassesError
from .spec_suggestion import FoundValues, suggestion_lines
from .specs import LABEL_READING_HELP, SPEC_FILE, DatasetSpec, label_presets, load_label_preset
from .transforms import JointTransform


# Stands for a label space that is not known yet: the files are then read as stored, and nothing is decoded.
UNKNOWN = DatasetSpec("unknown", ("unknown",), ((0, 0, 0),))
VIEW: dict[str, Any] = {"transform": JointTransform(size=(1, 1))}  # no sample is taken: files as they are


def read_photos(dataset: SemanticImageDataset, sizes: list[tuple[int, int] | None]) -> list[str]:
    """One line for each photo that does not decode or whose size is not its label map's (`sizes`)."""
    problems = []
    for index, size in enumerate(tqdm(sizes, desc="reading photos", leave=False)):
        try:
            photo_size = dataset.photo(index).shape[:2]
        except ValueError as error:
            problems.append(str(error))
            continue
        if size is not None and photo_size != size:
            problems.append(
                f"{dataset.source(index, 'label_map')}: size {size[0]}x{size[1]} (height x width) differs from its "
                f"photo's {photo_size[0]}x{photo_size[1]}"
            )
    return problems


def read_labels(
    dataset: SemanticImageDataset, found: FoundValues, report: ReadingReport
) -> tuple[np.ndarray, list[tuple[int, int] | None], list[str]]:
    """One pass over the label maps.

    Args:
        dataset: The split.
        found: Takes the values as stored.
        report: Takes how they were read.

    Returns:
        Pixel counts (images, num_labels) int64, the size of each label map (None for a bad one), and the problems.
    """
    counts = np.zeros((len(dataset), dataset.spec.num_labels), dtype=np.int64)
    sizes: list[tuple[int, int] | None] = []
    problems = []
    for index in tqdm(range(len(dataset)), desc="reading labels", leave=False):
        row, size = dataset.table[index], None
        try:
            stored = dataset.decoder.label_values(row, index)
            found.add(stored)
            if dataset.spec is not UNKNOWN:
                label_map = dataset.decoder.to_ids(stored, dataset.source(index, "label_map"))
                report.add(label_map)
                counts[index], size = np.bincount(label_map.ravel(), minlength=counts.shape[1]), label_map.shape
        except ValueError as error:
            problems.append(str(error))
        sizes.append(size)
    return counts, sizes, problems


def frequency_table(spec: DatasetSpec, pixel_counts: np.ndarray) -> list[str]:
    """Lines `id name pixels% images%`, one per label; void is marked."""
    pixels = pixel_counts.sum(axis=0) / max(1, pixel_counts.sum())
    good = max(1, int((pixel_counts.sum(axis=1) > 0).sum()))
    images = (pixel_counts > 0).sum(axis=0) / good
    width = max(5, *(len(label) for label in spec.labels))
    lines = [f"  {'id':>4}  {'class':<{width}}  {'pixels %':>9}  {'images %':>9}"]
    for i, label in enumerate(spec.labels):
        void = "  void" if i == spec.void_label_id else ""
        lines.append(f"  {i:>4}  {label:<{width}}  {100 * pixels[i]:>9.3f}  {100 * images[i]:>9.2f}{void}")
    return lines


def inspect_split(
    dataset: SemanticImageDataset, found: FoundValues, with_photos: bool = True
) -> tuple[list[str], list[str]]:
    """Read one split in full.

    Args:
        dataset: The split.
        found: Takes the label values as stored.
        with_photos: Also decode the photos.

    Returns:
        The lines of the report, and the problems (one line each).
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = ReadingReport(dataset.spec)
        counts, sizes, problems = read_labels(dataset, found, report)
    problems += read_photos(dataset, sizes) if with_photos else []
    spec = dataset.spec
    if spec is UNKNOWN:
        return [f"{dataset.name}: {len(dataset)} images, label space not known"], problems
    lines = [f"{dataset.name}: {len(dataset)} images, {spec.num_labels} labels"]
    frequent = Counter(size for size in sizes if size is not None).most_common(8)
    lines.append("  sizes (height x width): " + ", ".join(f"{h}x{w} ({n})" for (h, w), n in frequent))
    lines += [f"  {line}" for line in report.lines()]
    lines += frequency_table(spec, counts)
    if spec.void_label_id is not None:
        lines.append(f"  void: {100 * void_share(counts, spec.void_label_id):.3f} % of the pixels")
    for index in empty_maps(counts, spec.void_label_id):
        problems.append(f"{dataset.source(index, 'label_map')}: no labelled pixel, all of it is void")
    turned = sum(dataset.is_turned(index) for index in range(len(dataset))) if with_photos else 0
    if turned:
        lines.append(
            f"  note: {turned} photos are turned as their EXIF orientation says; --sheet shows whether the labels are"
        )
    lines += [f"  note: {warning.message}" for warning in caught if issubclass(warning.category, UserWarning)]
    return lines, problems


# -- opening --------------------------------------------------------------------------------------------------------


def open_splits(args: argparse.Namespace) -> tuple[list[SemanticImageDataset], list[str]]:
    """All splits that open, and one line for each that does not."""
    spec = load_label_preset(args.classes_file) if args.classes_file else None
    folder = Path(args.dataset)
    if not folder.is_dir() or any(folder.glob("data/*.parquet")):
        return _open_hub(args, spec)
    layout = recognise_layout(folder)
    problems = []
    if layout not in (None, "paired"):
        try:
            source = open_layout(folder, layout, spec, args.splits, with_instances=False)
        except NoClassesError as error:
            problems.append(str(error))
            source = open_layout(folder, layout, UNKNOWN, args.splits, with_instances=False)
        tables = {
            name: files_table({"image": [f.image for f in files], "label_map": [f.label_map for f in files]})
            for name, files in source.splits.items()
        }
        return [
            SemanticImageDataset(table, source.spec, name=f"{folder}, {name}", **VIEW)
            for name, table in tables.items()
        ], problems
    if layout is None and not any((*folder.glob("*/images"), *folder.glob("*/labels"))):
        return [], [unknown_layout(folder)]
    if spec is None and not (folder / SPEC_FILE).is_file() and find_class_table(folder) is None:
        problems.append(f"{folder}: no {SPEC_FILE} in it; write one, or take a known label space (--classes_file)")
        spec = UNKNOWN
    opened, more = _open_paired(folder, args.splits, spec)
    return opened, problems + more


def _open_paired(
    folder: Path, splits: list[str] | None, spec: DatasetSpec | None
) -> tuple[list[SemanticImageDataset], list[str]]:
    splits = splits or [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
    if not splits:
        return [], [f"{folder}: no split folder in it; expected {folder}/train/images and {folder}/train/labels"]
    opened, problems = [], []
    for split in splits:
        try:
            opened.append(SemanticImageDataset.from_folder(folder, split, spec=spec, **VIEW))
        except ValueError as error:
            problems.append(str(error))
    return opened, problems


def _open_hub(args: argparse.Namespace, spec: DatasetSpec | None) -> tuple[list[SemanticImageDataset], list[str]]:
    columns = {"image_column": args.image_column, "label_column": args.label_column}
    opened, problems = [], []
    try:
        found = resolve_hub_dataset(args.dataset, spec, **columns)
    except ValueError as error:
        if spec is not None:
            raise
        problems.append(str(error))
        spec = UNKNOWN
        found = resolve_hub_dataset(args.dataset, spec, **columns)
    splits = args.splits or [name for name in (found.train_split(), found.validation_split()) if name]
    for split in splits:
        try:
            opened.append(SemanticImageDataset(found.load(split), found.spec, name=f"{found.name}:{split}", **VIEW))
        except (ValueError, OSError) as error:
            problems.append(" ".join(str(error).split()))
    return opened, problems


# -- command --------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dpsims_hf.data.inspect", description=__doc__.splitlines()[0])
    add = parser.add_argument
    presets = ", ".join(label_presets())
    add("dataset", help="folder in the local or a known original layout, or a Hub dataset")
    add("--splits", nargs="+", help="default: all folders of DIR; train and validation of a Hub dataset")
    add("--classes_file", metavar="NAME_OR_FILE", help=f"{presets}, or a file; default: the set's own")
    add("--image_column", help="of a Hub dataset; default: what is known of it, or image")
    add("--label_column", help="of a Hub dataset; default: what is known of it, or label_map")
    add("--label_reading", choices=tuple(READINGS), help=LABEL_READING_HELP)
    add("--sheet", metavar="FILE.png", help="write a picture of some samples: photo, its classes' colours over it")
    add("--skip_photos", action="store_true", help="do not decode the photos, only the labels")
    return parser


def _print(lines: Iterable[str]) -> None:
    """Names in them are anybody's: none breaks a line or speaks to the terminal."""
    print("\n".join(shown(line) for text in lines for line in text.split("\n")))


def _report(args: argparse.Namespace) -> int:
    """Print everything; returns the exit code."""
    found = FoundValues()
    try:
        opened, problems = open_splits(args)
    except (ValueError, OSError) as error:
        opened, problems = [], [" ".join(str(error).split())]
    for dataset in opened:
        if dataset.spec is not UNKNOWN:
            dataset.read_as(args.label_reading)
        lines, more = inspect_split(dataset, found, with_photos=not args.skip_photos)
        _print(lines)
        problems += more
    if found.kinds:
        own = opened[0].spec
        problems += [] if own is UNKNOWN else doubts(own, found.unmarked)
        _print(suggestion_lines(found, None if own is UNKNOWN else own))
    if args.sheet and opened and opened[0].spec is not UNKNOWN:
        contact_sheet(opened).save(args.sheet, "PNG")
        print(f"{args.sheet}: look whether the colours fit the photos")
    print(f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "no problems")
    if problems:
        _print(f"  {problem}" for problem in problems)
    sys.stdout.flush()
    return 1 if problems else 0


@needs("train")
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return _report(args)
    except BrokenPipeError:  # the reader has seen enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 1


if __name__ == "__main__":
    sys.exit(main())
