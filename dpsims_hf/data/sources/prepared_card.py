# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The card of a prepared dataset: what `datasets` reads in the front matter, then classes and terms for people."""

import json

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets import Image as ImageFeature
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from ...configuration_rules import inert
from ..specs import SPEC_FILE, DatasetSpec
from .layouts import SourceFolder
from .parquet_shards import WrittenSplit


DESCRIPTIONS = {
    "image": "the photo, its file unchanged",
    "label_map": "PNG of class ids, {bits} bits, the photo's size; read it without a change of mode",
    "instance_map": "16-bit PNG of object ids, 0 = no object; crowds, groups, stuff and void are 0",
}
HERE = 'path = "."  # this folder; on the Hub the repository\'s name'  # `push_dataset` replaces the line
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(
    spec: DatasetSpec, source: SourceFolder, written: list[WrittenSplit], columns: list[str], readings: list[str]
) -> str:
    """The text of README.md.

    Args:
        spec: Of what was written.
        source: Where it comes from.
        written: One entry per split.
        columns: Names of the columns.
        readings: How the label files were read, a line for each way.
    """
    data = DatasetCardData(
        license=spec.license,
        task_categories=["image-segmentation", "image-to-image"],
        pretty_name=spec.name,
        size_categories=[_size_category(sum(split.num_examples for split in written))],
        tags=["semantic-image-synthesis", "semantic-segmentation"],
    )
    splits = SplitDict({s.name: SplitInfo(s.name, s.num_bytes, s.num_examples) for s in written})
    info = DatasetInfo(
        features=Features({column: ImageFeature() for column in columns}),
        splits=splits,
        download_size=sum(split.download_size for split in written),
        dataset_size=sum(split.num_bytes for split in written),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    files = [{"split": split.name, "path": f"data/{split.name}-*"} for split in written]
    MetadataConfigs({"default": {"data_files": files}}).to_dataset_card_data(data)
    return f"---\n{data.to_yaml()}\n---\n\n{_body(spec, source, written, columns, readings)}"


def _size_category(rows: int) -> str:
    return next((name for limit, name in SIZES if rows < limit), "n>1M")


def _body(
    spec: DatasetSpec, source: SourceFolder, written: list[WrittenSplit], columns: list[str], readings: list[str]
) -> str:
    bits = 8 if spec.num_labels <= 256 else 16
    void = "none" if spec.void_label_id is None else f"{spec.void_label_id} ({inert(spec.labels[spec.void_label_id])})"
    from_encoding = source.spec.encoding()
    parts = [
        f"# {inert(spec.name)}",
        "Pairs of photo and semantic label map"
        + (", with instance maps," if "instance_map" in columns else "")
        + " for semantic image synthesis and segmentation: "
        + ", ".join(f"{split.num_examples} in `{split.name}`" for split in written)
        + f". {spec.num_labels} labels; void: {void}.",
        "## Columns",
        "\n".join(f"- `{column}`: {DESCRIPTIONS[column].format(bits=bits)}" for column in columns),
        "## Use",
        _usage(spec),
        "## Terms",
        inert(spec.license_note)
        or "The terms of the source are not known to the one who prepared it; state them here.",
        "## Preparation",
        f"Written by `python -m dpsims_hf.data.prepare` from the {source.layout} layout. Photos keep their bytes. "
        f"Label values were read in the encoding `{inert(from_encoding.name)}` "
        + (f"({inert(from_encoding.note).rstrip('.')}) " if from_encoding.note else "")
        + "and are class ids here; every file was decoded and checked.",
        "\n".join(f"- {line}" for line in readings),
        "## Classes",
        f"`{SPEC_FILE}` has names, colours and void. `id2label`:",
        f"```json\n{json.dumps(spec.id2label, indent=1, ensure_ascii=False)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _usage(spec: DatasetSpec) -> str:
    size = "" if spec.crop_size else "transform=JointTransform((256, 256))"
    names = "SemanticImageDataset" if spec.crop_size else "JointTransform, SemanticImageDataset"
    lines = [
        "```python",
        f"from dpsims_hf.data import {names}",
        "",
        HERE,
        f"dataset = SemanticImageDataset.from_hub(path{', ' + size if size else ''})",
        'print(dataset[0]["label_map"].unique())',
        "```",
    ]
    text = "\n".join(lines)
    if spec.protocols:
        text += f"\n\nSegmenters that know these classes: protocols `{'`, `'.join(map(inert, spec.protocols))}` of "
        text += "`python -m dpsims_hf.evaluation`."
    return text


__all__ = ["HERE", "dataset_card"]
