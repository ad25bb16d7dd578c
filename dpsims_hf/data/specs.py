# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a dataset's labels mean, and how its files write them. A new dataset is a JSON file, not code."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..configuration_limits import CLASSES_ENTRY, CLASSES_FILE
from ..configuration_rules import read_json
from ..image_processing_files import default_palette, listing
from ..image_processing_reading import READINGS
from ..image_processing_semantic import SemanticImageProcessor
from .encodings.class_tables import FORMS as CLASS_TABLES
from .encodings.class_tables import find_class_table, label_fields, rows_of_file
from .encodings.instances import INSTANCE_ENCODINGS
from .encodings.labels import IDS, LabelEncoding
from .sources.hub_sources import SPEC_FILE, HubSource, spec_file_of_repository
from .transforms import JointTransform


LABEL_READING_HELP = "how label files are meant, where evidence does not decide: " + "; ".join(
    f"{name}: {text}" for name, text in READINGS.items()
)
PRESETS = Path(__file__).parent / "label_presets"


@dataclass(frozen=True)
class DatasetSpec:
    """The label space of a dataset and its files: the only place where names, colours and void are written down.

    Args:
        name: Short name of the dataset.
        labels: Name of every model label, void included; the position is the id.
        palette: One (r, g, b) per label, all different.
        void_label_id: The model label that means "unknown", or None.
        void_values: Raw values in label files that mean void.
        stuff_ids: Labels without instances: their `instance_offsets` are 0. Void always counts as stuff.
        label_encoding: How the label files at hand write the classes: "ids" (a value is the id), or the name of one
            of `label_encodings`. The image processor, and so a published model, reads such files.
        label_encodings: The other ways that occur.
        original_encoding: The encoding of the files that the set was made from, where its own label maps are PNGs of
            class ids that say so themselves (see `image_processing_label_files.save_ids`).
        original_reading: Likewise the `label_reading`.
        label_reading: How label files are read (a key of READINGS), None: by evidence.
        has_colors: False if the class list had none and the palette is made up: those of index files then say nothing.
        instance_encoding: How the instance files do it, a key of INSTANCE_ENCODINGS; None: the set has no instances.
        crop_size: (height, width) at which the papers train on it, None if there is no such custom.
        load_size: (height, width) to which they resize (aspect ratio not kept) before the crop; None: no crop.
        protocols: Names of the evaluation protocols whose segmenter knows these classes.
        license: Identifier for a card's front matter.
        license_note: The terms as text.
        hub: Repositories that are known to hold the set.
        note: What else the reader of a label file should know.
    """

    name: str
    labels: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    void_label_id: int | None = None
    void_values: tuple[int, ...] = ()
    stuff_ids: tuple[int, ...] = ()
    label_encoding: str = IDS
    label_encodings: tuple[LabelEncoding, ...] = ()
    label_reading: str | None = None
    original_encoding: str | None = None
    original_reading: str | None = None
    has_colors: bool = True
    instance_encoding: str | None = "ids"
    crop_size: tuple[int, int] | None = None
    load_size: tuple[int, int] | None = None
    protocols: tuple[str, ...] = ()
    license: str = "other"
    license_note: str = ""
    hub: tuple[HubSource, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        illegal = [i for i in self.stuff_ids if not 0 <= i < self.num_labels]
        if illegal:
            raise ValueError(f"{self.name}: stuff_ids {illegal} are out of range: legal are 0..{self.num_labels - 1}")
        try:
            self.image_processor()  # one set of rules for label spaces, the processor's
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        self._check_encodings()
        if self.load_size and (not self.crop_size or any(map(int.__lt__, self.load_size, self.crop_size))):
            raise ValueError(f"{self.name}: load_size {self.load_size} must not be below crop_size {self.crop_size}")

    def _check_encodings(self) -> None:
        for encoding in self.label_encodings:
            wrong = [pair for pair in encoding.values if not 0 <= pair[1] < self.num_labels]
            if wrong:
                raise ValueError(
                    f"{self.name}: label encoding {encoding.name} gives value {wrong[0][0]} the id {wrong[0][1]}: "
                    f"legal are 0..{self.num_labels - 1}"
                )
        for name in (self.label_encoding, self.original_encoding, *(source.label_encoding for source in self.hub)):
            self.encoding(name)
        for key in ("label_reading", "original_reading"):
            if getattr(self, key) not in (None, *READINGS):
                raise ValueError(
                    f"{self.name}: {key} {getattr(self, key)!r} is not one of {', '.join(READINGS)} or null"
                )
        if self.instance_encoding not in (None, *INSTANCE_ENCODINGS):
            raise ValueError(
                f"{self.name}: instance_encoding {self.instance_encoding!r} is not one of "
                f"{', '.join(INSTANCE_ENCODINGS)} or null"
            )

    @property
    def num_labels(self) -> int:
        """All model labels, void included."""
        return len(self.labels)

    @property
    def id2label(self) -> dict[int, str]:
        """Model label id -> name."""
        return dict(enumerate(self.labels))

    @property
    def thing_ids(self) -> tuple[int, ...]:
        """Labels that have instances."""
        return tuple(i for i in range(self.num_labels) if i not in self.stuff_ids and i != self.void_label_id)

    @property
    def encoding_names(self) -> tuple[str, ...]:
        """All names that `label_encoding` may have."""
        return tuple(dict.fromkeys((IDS, *(encoding.name for encoding in self.label_encodings))))

    def encoding(self, name: str | None = None) -> LabelEncoding:
        """A label encoding by name, None for the one in use.

        Raises:
            ValueError: an unknown name.
        """
        name = self.label_encoding if name is None else name
        known = {IDS: LabelEncoding(IDS)} | {encoding.name: encoding for encoding in self.label_encodings}
        if name not in known:
            raise ValueError(f"{self.name}: label encoding {name!r} is not one of {', '.join(known)}")
        return known[name]

    def with_encoding(self, label_encoding: str | None = None, instance_encoding: str | None = None) -> "DatasetSpec":
        """The same label space for files that write it otherwise; None keeps."""
        return replace(
            self,
            label_encoding=label_encoding or self.label_encoding,
            instance_encoding=instance_encoding or self.instance_encoding,
        )

    def hub_source(self, repository: str | Path) -> HubSource | None:
        """What is known of a repository, None if it is not listed."""
        return next((source for source in self.hub if source.repository == str(repository)), None)

    def image_processor(
        self, size: dict[str, int] | tuple[int, int] | None = None, size_divisor: int = 32, **kwargs: Any
    ) -> SemanticImageProcessor:
        """The processor of this label space, which reads the set's label files and those that it was made from.

        Args:
            size: {"height", "width"} or (height, width).
            size_divisor: Of the processor.
            kwargs: Of the processor.
        """
        encoding = self.encoding(self.original_encoding).to_dict()
        kwargs = {
            "label_encoding": {key: encoding[key] for key in ("name", "offset", "values")},
            "label_reading": self.original_reading or self.label_reading,
            "has_colors": self.has_colors,
        } | kwargs
        return SemanticImageProcessor(
            id2label=self.id2label,
            palette=[list(rgb) for rgb in self.palette],
            void_label_id=self.void_label_id,
            void_values=list(self.void_values),
            stuff_ids=list(self.stuff_ids),
            size=size,
            size_divisor=size_divisor,
            **kwargs,
        )

    def transform(self, horizontal_flip: float = 0.5) -> JointTransform:
        """The papers' resize, crop and flip for this set.

        Raises:
            ValueError: no `crop_size`.
        """
        if self.crop_size is None:
            raise ValueError(f'{self.name}: no "crop_size" [height, width] in its spec; pass a JointTransform')
        scale = max(map(float.__truediv__, map(float, self.load_size or self.crop_size), map(float, self.crop_size)))
        return JointTransform(self.crop_size, scale_range=(scale, scale), horizontal_flip=horizontal_flip)

    @classmethod
    def from_json(cls, path: str | Path) -> "DatasetSpec":
        """Read a classes.json, or a class list of another tool (class_tables.py).

        Keys: `classes` (list of `id`, `name`, optional `color`, optional `is_thing`), optional `name`, `void_index`
        (the raw value that means void: one of the ids, or any other value, which then adds a last label),
        `void_values` (further raw values), `void_name`, `void_color`, and the fields of this class under their names
        (`label_encodings` and `hub` as lists of objects). Other keys are ignored.

        Ids 1..n are taken as values in files: label k is the class of id k + 1.

        Raises:
            ValueError: missing or malformed file, ids that are neither 0..n-1 nor 1..n each once, or a colour used
                twice.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such file; write one with the classes' ids, names and colours")
        rows = rows_of_file(path)
        if rows is not None:
            return cls(**label_fields(rows, path.resolve().parent.name))
        if path.suffix.lower() not in ("", ".json"):
            raise ValueError(f"{path}: no class list that is known here; expected a classes.json, {CLASS_TABLES}")
        content = read_json(path)
        classes = content.get("classes")
        if not isinstance(classes, list) or not classes:
            raise ValueError(f'{path}: "classes" must be a list of {{"id", "name", "color"}}')
        if any(not isinstance(c, dict) or not isinstance(c.get("id"), int) or "name" not in c for c in classes):
            raise ValueError(f'{path}: every entry of "classes" needs an integer "id" and a "name"')
        try:
            _check_file(content)
        except ValueError as error:
            raise ValueError(f"{path}: not a valid spec ({error})") from None
        fields = _label_fields(content, sorted(classes, key=lambda c: c["id"]), path)
        try:
            fields |= _file_fields(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a valid spec ({' '.join(str(error).split())})") from None
        return cls(**fields)

    @classmethod
    def from_folder(cls, data_dir: str | Path) -> "DatasetSpec":
        """The spec in DIR/classes.json, else in the class list of another tool there."""
        path = Path(data_dir) / SPEC_FILE
        table = None if path.is_file() else find_class_table(Path(data_dir))
        return cls.from_json(table or path)

    def to_json(self, path: str | Path) -> None:
        """Write a classes.json that `from_json` reads back to an equal spec (void becomes one of the classes)."""
        classes = [
            {"id": i, "name": label, "color": list(rgb), "is_thing": i not in self.stuff_ids}
            for i, (label, rgb) in enumerate(zip(self.labels, self.palette, strict=True))
        ]
        content: dict[str, Any] = {"name": self.name, "classes": classes, "void_index": self.void_label_id}
        for key in FILE_FIELDS:
            if getattr(self, key) is not None or not key.startswith("original"):
                content[key] = getattr(self, key)
        for key in LISTED:
            content[key] = [entry.to_dict() for entry in getattr(self, key)]
        content["void_values"] = list(self.void_values)
        if not self.has_colors:
            content["has_colors"] = False
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _check_file(content: dict[str, Any]) -> None:
    """Each field of a classes.json that is read must be what `configuration_limits` says."""
    for key, rule in CLASSES_FILE.items():
        if key in content:
            rule.check(key, content[key])
    for index, entry in enumerate(content["classes"]):
        for key, rule in CLASSES_ENTRY.items():
            if key in entry:
                rule.check(f"classes[{index}].{key}", entry[key])


FROM_ONE = "from_1"  # the label encoding of a classes.json whose ids start at 1
LISTED: dict[str, Any] = {"label_encodings": LabelEncoding, "hub": HubSource}
FILE_FIELDS = (
    "label_encoding",
    "label_reading",
    "original_encoding",
    "original_reading",
    "instance_encoding",
    "crop_size",
    "load_size",
    "protocols",
    "license",
    "license_note",
    "note",
)


def _label_fields(content: dict[str, Any], classes: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """The fields about the labels from a parsed classes.json whose classes are sorted by id."""
    ids = [c["id"] for c in classes]
    from_one = ids == list(range(1, len(ids) + 1))
    if from_one:
        classes, ids = [c | {"id": c["id"] - 1} for c in classes], list(range(len(ids)))
    if ids != list(range(len(ids))):
        raise ValueError(f"{path}: class ids must be 0..{len(ids) - 1}, each once; got {listing(ids)}")
    spare = default_palette(len(ids) + 1)
    labels = [str(c["name"]) for c in classes]
    palette = [tuple(int(v) for v in c.get("color") or spare[c["id"]]) for c in classes]
    stuff = [c["id"] for c in classes if not c.get("is_thing", True)]
    void_index = content.get("void_index")
    if from_one and void_index is not None and 1 <= void_index <= len(ids):
        void_index -= 1
    elif from_one and void_index == 0:
        void_index = -1  # a value that is no id any more
    void_values = [int(value) for value in content.get("void_values", [])]
    void_label_id = void_index
    if void_index is not None and void_index not in ids:
        void_label_id = len(labels)
        labels.append(str(content.get("void_name", "void")))
        palette.append(tuple(int(v) for v in content.get("void_color") or spare[-1]))
        void_values = [int(void_index), *(value for value in void_values if value != void_index)]
    encodings: dict[str, Any] = {}
    if from_one and not content.get("label_encodings"):
        void_values = [value for value in void_values if value > len(ids)]
        zero = () if void_label_id is None else ((0, void_label_id),)
        encodings["label_encodings"] = (LabelEncoding(FROM_ONE, -1, zero, "a value is the class id of classes.json"),)
        encodings["label_encoding"] = FROM_ONE
    has_colors = content.get("has_colors", any(c.get("color") is not None for c in classes))
    return encodings | {
        "has_colors": has_colors,
        "name": str(content.get("name") or path.resolve().parent.name),
        "labels": tuple(labels),
        "palette": tuple(palette),
        "void_label_id": void_label_id,
        "void_values": tuple(void_values),
        "stuff_ids": tuple(stuff),
    }


def _file_fields(content: dict[str, Any]) -> dict[str, Any]:
    """The fields about the files; what is absent keeps its default."""
    fields = {key: content[key] for key in FILE_FIELDS if key in content}
    for key in ("crop_size", "load_size"):
        if fields.get(key) is not None:
            height, width = fields[key]
            fields[key] = (int(height), int(width))
    if "protocols" in fields:
        fields["protocols"] = tuple(fields["protocols"])
    for key, kind in LISTED.items():
        if key in content:
            fields[key] = tuple(kind.from_dict(entry) for entry in content[key])
    return fields


def label_presets() -> dict[str, Path]:
    """The files of the known datasets' label spaces by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.json"))}


def load_label_preset(name_or_file: str | Path) -> DatasetSpec:
    """The label space of a known dataset (a file in label_presets/), or of a classes.json."""
    known = label_presets()
    path = known.get(str(name_or_file), Path(name_or_file))
    if not path.is_file():
        raise ValueError(f"label preset {str(name_or_file)!r} is neither one of {', '.join(known)} nor a file")
    return DatasetSpec.from_json(path)


def spec_of_repository(dataset_name: str | Path, revision: str | None = None) -> DatasetSpec | None:
    """The spec in the classes.json of a local folder or of a Hub dataset, None if it has none."""
    path = spec_file_of_repository(dataset_name, revision)
    return None if path is None else DatasetSpec.from_json(path)


__all__ = [
    "LABEL_READING_HELP",
    "SPEC_FILE",
    "DatasetSpec",
    "label_presets",
    "load_label_preset",
    "spec_of_repository",
]
