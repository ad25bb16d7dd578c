# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Turn folders into a dataset for the Hub: parquet files with exact label maps, classes.json and a card.

    python -m dpsims_hf.data.prepare DIR --output_dir OUT
    python -m dpsims_hf.data.prepare /data/cityscapes --output_dir OUT --classes_file cityscapes_train_ids
    python -m dpsims_hf.data.prepare DIR --output_dir OUT --push user/name
    python -m dpsims_hf.data.prepare OUT --push user/name

DIR holds train/, val/ or other splits with images/, labels/ and, optionally, instances/; or is the original folder of
Cityscapes, ADE20K or COCO-Stuff. Every file is read and checked; with a single problem nothing is written. Photos keep
their bytes, label maps become PNGs of class ids, instance maps 16-bit PNGs of object ids.
"""

import argparse
import io
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..commands import needs
from ..configuration_rules import shown
from ..hub.repositories import publish
from ..image_processing_label_files import save_ids
from ..image_processing_reading import READINGS
from .encodings.instances import compact_ids
from .encodings.labels import IDS
from .reading.report import ReadingReport
from .reading.rows import RowDecoder, sizes_differ
from .sources.foreign_files import check_links
from .sources.hub_loading import COLUMNS
from .sources.layouts import LAYOUTS, SourceFolder, open_layout
from .sources.source_files import SourceFiles
from .specs import LABEL_READING_HELP, SPEC_FILE, DatasetSpec, label_presets, load_label_preset


with needs("train"):
    from .sources.parquet_shards import ShardWriter, WrittenSplit
    from .sources.prepared_card import HERE, dataset_card


SHOWN_PROBLEMS = 20


def png_bytes(array: np.ndarray) -> bytes:
    """(height, width) uint8 or uint16 as a PNG of 8 or 16 bits."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def ids_bytes(label_map: np.ndarray) -> bytes:
    """Class ids as a PNG that says that it holds them."""
    buffer = io.BytesIO()
    save_ids(label_map, buffer)
    return buffer.getvalue()


def convert_row(decoder: RowDecoder, files: SourceFiles) -> dict[str, Any]:
    """One row of the dataset.

    Args:
        decoder: Of the source's spec.
        files: Of one picture.

    Returns:
        `image` with the photo's own bytes, `label_map`, and `instance_map` if there is one, each {"bytes", "path"}.

    Raises:
        ValueError: a file that cannot be read, illegal values, or sizes that differ.
    """
    row: dict[str, Any] = {"image": _file_cell(files.image), "label_map": _file_cell(files.label_map)}
    photo, label_map = decoder.photo(row, 0), decoder.label_map(row, 0)
    if photo.shape[:2] != label_map.shape:
        raise ValueError(sizes_differ(str(files.label_map), label_map.shape, photo.shape[:2]))
    converted = {"image": {"bytes": files.image.read_bytes(), "path": files.image.name}}
    converted["label_map"] = {"bytes": ids_bytes(label_map), "path": f"{files.name}.png"}
    if files.instance_map is not None:
        row |= {"instance_map": _file_cell(files.instance_map), "segments_info": files.segments}
        ids = decoder.instance_map(row, 0, label_map.shape)
        ids = np.where(np.isin(label_map, decoder.spec.thing_ids), ids, 0)
        converted["instance_map"] = {"bytes": png_bytes(compact_ids(ids)), "path": f"{files.name}.png"}
    return converted


def _file_cell(path: Path) -> dict[str, Any]:
    return {"bytes": None, "path": str(path)}


def converted_rows(
    source: SourceFolder, split: str, workers: int, problems: list[str], report: ReadingReport | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a split in order, read by several threads; a line is added to `problems` for each bad one."""
    decoder = RowDecoder(source.spec, split, report)

    def attempt(files: SourceFiles) -> dict[str, Any] | str:
        try:
            return convert_row(decoder, files)
        except ValueError as error:
            return str(error)

    pictures = source.splits[split]
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(pictures), desc=split) as bar:
        step = 16 * workers  # `map` over all would read the whole set ahead of the writer
        for start in range(0, len(pictures), step):
            for result in pool.map(attempt, pictures[start : start + step]):
                bar.update()
                if isinstance(result, str):
                    problems.append(result)
                else:
                    yield result


def prepared_spec(spec: DatasetSpec, has_instances: bool) -> DatasetSpec:
    """The spec of what is written: ids, whatever the source had."""
    original = spec.original_encoding or (spec.label_encoding if spec.label_encoding != IDS else None)
    note = f"Label maps hold class ids. Written by dpsims_hf.data.prepare from {spec.name}."
    return replace(
        spec,
        label_encoding=IDS,
        label_encodings=() if original is None else (spec.encoding(original),),
        label_reading=None,
        original_encoding=original,
        original_reading=spec.original_reading or spec.label_reading,
        instance_encoding="ids" if has_instances else None,
        hub=(),
        note=note,
    )


def prepare(
    source: SourceFolder,
    output_dir: str | Path,
    max_shard_size: str | int = "500MB",
    workers: int | None = None,
    license: str | None = None,
    report: ReadingReport | None = None,
) -> Path:
    """Write a dataset folder: data/SPLIT-*.parquet, classes.json, README.md.

    Everything is written to a hidden sibling folder and renamed at the end.

    Args:
        source: From `open_layout`.
        output_dir: The folder; it must not exist, or be empty.
        max_shard_size: Of a parquet file, as "500MB".
        workers: Threads that read, None: one per processor.
        license: Identifier for the card, None: the spec's.
        report: Takes how the label files were read.

    Returns:
        The folder.

    Raises:
        ValueError: the folder is not empty, or some files are bad: the first ones, a line each, and their number.
    """
    target = Path(output_dir).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{output_dir} is not empty; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed here
    spec = prepared_spec(replace(source.spec, license=license or source.spec.license), source.has_instances)
    columns = [column for column in COLUMNS if column != "instance_map" or source.has_instances]
    problems: list[str] = []
    written: list[WrittenSplit] = []
    report = report or ReadingReport(source.spec)
    count = workers or os.cpu_count() or 1
    try:
        for split in source.splits:
            writer = ShardWriter(staging / "data", split, columns, max_shard_size)
            written.append(writer.write_all(converted_rows(source, split, count, problems, report)))
        if problems:
            raise ValueError("\n".join(_summary(problems)))
        spec.to_json(staging / SPEC_FILE)
        card = dataset_card(spec, source, written, columns, report.lines())
        (staging / "README.md").write_text(card, encoding="utf-8")
        if target.exists():
            target.rmdir()
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _summary(problems: list[str]) -> list[str]:
    more = len(problems) - SHOWN_PROBLEMS
    lines = [f"{len(problems)} bad file{'s' * (len(problems) > 1)}, nothing is written:"]
    lines += [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    return lines + ([f"  and {more} more"] if more > 0 else [])


def push_dataset(folder: str | Path, repo_id: str, private: bool = True, token: str | None = None) -> str:
    """Upload a folder written by `prepare` in one commit; older parquet files in the repository go.

    Args:
        folder: With README.md, classes.json and data/.
        repo_id: "user/name"; made if it does not exist.
        private: Make it private; an existing repository stays what it is.
        token: Of the Hub; None takes the one stored by `hf auth login`.

    Returns:
        The repository's address.

    Raises:
        ValueError: what the Hub refuses, in one line.
    """
    folder = Path(folder)
    files: dict[str, Path | bytes] = {f"data/{path.name}": path for path in (folder / "data").glob("*.parquet")}
    card = (folder / "README.md").read_text(encoding="utf-8").replace(HERE, f'path = "{repo_id}"')
    files |= {SPEC_FILE: folder / SPEC_FILE, "README.md": card.encode()}
    options: dict[str, Any] = {"private": private, "token": token, "replaces": ("data/*.parquet",)}
    return publish(repo_id, files, "Upload dataset", repo_type="dataset", **options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dpsims_hf.data.prepare", description=__doc__.splitlines()[0])
    add = parser.add_argument
    presets = ", ".join(label_presets())
    add(
        "folder", metavar="DIR", help="train/, val/ ... with images/ and labels/, or an original folder of a known set"
    )
    add("--output_dir", metavar="OUT", help="folder to write, new or empty; not needed to push a prepared DIR")
    add("--layout", choices=tuple(LAYOUTS), help="default: what DIR looks like")
    add("--classes_file", metavar="NAME_OR_FILE", help=f"label space: {presets}, or a classes.json; default: DIR's")
    add("--label_encoding", metavar="NAME", help="how DIR's label files write the classes, if not as the layout says")
    add("--label_reading", choices=tuple(READINGS), help=LABEL_READING_HELP)
    add("--splits", nargs="+", metavar="SPLIT", help="folder names; default: all with labels, without test")
    add("--instances", action=argparse.BooleanOptionalAction, default=True, help="take instance maps where they are")
    add("--max_shard_size", default="500MB", metavar="SIZE", help="of a parquet file (default: 500MB)")
    add("--workers", type=int, metavar="N", help="threads that read (default: one per processor)")
    add("--follow_links", action="store_true", help="take files that are links to places outside of DIR, too")
    add("--license", metavar="ID", help="for the card, as cc-by-4.0; default: the label space's")
    add("--push", metavar="REPO_ID", help="upload the result to the Hub as user/name")
    add("--private", action=argparse.BooleanOptionalAction, default=True, help="of a repository that --push makes")
    return parser


def _run(args: argparse.Namespace) -> None:
    if any(Path(args.folder).glob("data/*.parquet")) and args.push and not args.output_dir:
        print(push_dataset(args.folder, args.push, args.private))
        return
    if not args.output_dir:
        raise ValueError("name the folder to write: --output_dir OUT")
    spec = load_label_preset(args.classes_file) if args.classes_file else None
    source = open_layout(args.folder, args.layout, spec, args.splits, args.instances)
    if not args.follow_links:
        pictures = [files for split in source.splits.values() for files in split]
        check_links(args.folder, (p for f in pictures for p in (f.image, f.label_map, f.instance_map) if p))
    if args.label_encoding:
        source = replace(source, spec=source.spec.with_encoding(args.label_encoding))
    if args.label_reading:
        source = replace(source, spec=replace(source.spec, label_reading=args.label_reading))
    report = ReadingReport(source.spec)
    folder = prepare(source, args.output_dir, args.max_shard_size, args.workers, args.license, report)
    counts = ", ".join(f"{split} {len(files)}" for split, files in source.splits.items())
    print(f"{folder}: {counts} pictures, {source.spec.num_labels} labels from the {source.layout} layout")
    print("\n".join(report.lines()))
    if source.spec.license_note:
        print(f"terms: {source.spec.license_note}", flush=True)
    if args.push:
        try:
            print(push_dataset(folder, args.push, args.private))
        except ValueError as error:
            again = f"python -m dpsims_hf.data.prepare {args.output_dir} --push {args.push}"
            raise ValueError(f"{error} (the folder is written; later: {again})") from None


@needs("train")
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        _run(args)
    except (ValueError, OSError) as error:
        lines = str(error).strip().split("\n")
        print("error: " + "\n".join(map(shown, lines)), file=sys.stderr)
        return 1
    return 0


__all__ = ["convert_row", "prepare", "push_dataset"]


if __name__ == "__main__":
    sys.exit(main())
