"""What is in a data set, and what is wrong with it.

    python -m dpsims_hf.data.inspect DIR
    python -m dpsims_hf.data.inspect REPO --classes classes.json --image_column image --label_column label_map

Prints classes, pixel and image frequencies, void share, sizes, and every problem by file; does not stop at the first.
Exit code 1 if there is a problem.
"""

import argparse
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .dataset import SemanticImageDataset
from .specs import DatasetSpec
from .transforms import JointTransform


def photo_problems(dataset: SemanticImageDataset, sizes: list[tuple[int, int] | None]) -> list[str]:
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


def inspect_split(dataset: SemanticImageDataset, with_photos: bool = True) -> tuple[list[str], list[str]]:
    """Read one split in full.

    Returns:
        The lines of the report, and the problems (one line each).
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan = dataset.scan_labels()
    problems = scan.problems + (photo_problems(dataset, scan.sizes) if with_photos else [])
    spec = dataset.spec
    lines = [f"{dataset.name}: {len(dataset)} images, {spec.num_labels} labels"]
    sizes = Counter(size for size in scan.sizes if size is not None)
    lines.append("  sizes (height x width): " + ", ".join(f"{h}x{w} ({n})" for (h, w), n in sizes.most_common(8)))
    lines += frequency_table(spec, scan.pixel_counts)
    if spec.void_label_id is not None:
        share = scan.pixel_counts[:, spec.void_label_id].sum() / max(1, scan.pixel_counts.sum())
        lines.append(f"  void: {100 * share:.3f} % of the pixels")
    lines += [f"  note: {warning.message}" for warning in caught if issubclass(warning.category, UserWarning)]
    return lines, problems


def open_splits(args: argparse.Namespace) -> tuple[list[SemanticImageDataset], list[str]]:
    """All splits that open, and one line for each that does not."""
    spec = DatasetSpec.from_json(args.classes) if args.classes else None
    transform = JointTransform(size=(1, 1))  # never applied: the report is about the files as they are
    opened, problems = [], []
    folder = Path(args.dataset)
    splits = args.splits or (
        [p.name for p in sorted(folder.iterdir()) if p.is_dir()] if folder.is_dir() else ["train"]
    )
    if not splits:
        problems.append(f"{folder}: no split folder in it; expected {folder}/train/images and {folder}/train/labels")
    for split in splits:
        try:
            if folder.is_dir():
                opened.append(SemanticImageDataset.from_folder(folder, split, transform, spec, cache_in_memory=False))
            elif spec is None:
                raise ValueError(f"{args.dataset}: no such folder; for a Hub data set add --classes classes.json")
            else:
                columns = {"image_column": args.image_column, "label_column": args.label_column}
                opened.append(
                    SemanticImageDataset.from_hub(
                        args.dataset, split, transform, spec, **columns, cache_in_memory=False
                    )
                )
        except ValueError as error:
            problems.append(str(error))
    return opened, problems


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dpsims_hf.data.inspect", description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="folder in the local layout, or a Hub data set")
    parser.add_argument("--splits", nargs="+", help="default: all folders of DIR; train for a Hub data set")
    parser.add_argument("--classes", help="classes.json; default: the one in DIR")
    parser.add_argument("--image_column", default="image")
    parser.add_argument("--label_column", default="label_map")
    parser.add_argument("--skip_photos", action="store_true", help="do not decode the photos, only the labels")
    args = parser.parse_args(argv)
    try:
        opened, problems = open_splits(args)
    except ValueError as error:
        opened, problems = [], [str(error)]
    for dataset in opened:
        lines, found = inspect_split(dataset, with_photos=not args.skip_photos)
        print("\n".join(lines))
        problems += found
    print(f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "no problems")
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
