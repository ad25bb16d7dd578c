# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The one place that says what each field of a config, and of every other file from elsewhere, may be.

A config comes from strangers: it is data, and no value of it may run code, reach a network or take a
machine's memory. Whatever is not listed here is refused before anything is built. The bounds are those that real
models never reach. A new field of a config needs a row in `CONFIG_FIELDS`, or in `field_rules` of its class where no
other family has it; nothing else.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args

from .configuration_rules import (
    Anything,
    Choice,
    Either,
    Entries,
    Fields,
    Flag,
    FloatType,
    Integer,
    Items,
    Maybe,
    Number,
    Path,
    Rule,
    Text,
    shortened,
)


MAX_LABELS = 4096  # the full ADE20K has 3,688 classes
MAX_SIDE = 2048  # of training, in pixels
MAX_PIXELS = 2048 * 1024  # of training: Cityscapes whole
MAX_ATTENTION_POSITIONS = 2**16  # the paper: 2 ** 12
MAX_LEVELS = 12  # 2 ** 11 is MAX_SIDE
MAX_WIDTH = 8192  # channels of a layer
MAX_BUFFER_BYTES = 2**28  # position tables and masks of a backbone; those of real ones have some megabytes
MAX_PARAMETERS = 2_000_000_000  # of a network; that of the paper's size has 90 million

NOISE_INJECTIONS = ("cross_attention", "concat", "none")
FEATURE_CONDITIONINGS = ("none", "ccm_csm", "batchnorm_ccm_csm", "no_sigmoid", "no_batchnorm", "full")
PaddingMode = Literal["zeros", "reflect", "replicate"]
PADDING_MODES = get_args(PaddingMode)
UPSAMPLE_MODES = ("nearest", "bilinear")

WIDTH = Integer(1, MAX_WIDTH)
SIDE = Integer(1, MAX_SIDE)
NAME = Text(200)
LABEL_ID = Integer(0, MAX_LABELS - 1)
FILE_VALUE = Integer(-(2**16), 2**24 - 1)  # of a label file: 16 bits, or the three bytes of a colour
COLOR = Items(Integer(0, 255), 3, 3)
ID2LABEL = Entries(Either((LABEL_ID, Text(4, "[0-9]+", f"0..{MAX_LABELS - 1}"))), NAME, MAX_LABELS)
BACKBONE = Text(100, r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", "the name of a timm architecture (no path, no repository)")
MEAN = Items(Number(-1000, 1000), 3, 3)
STD = Items(Number(1e-6, 1000), 3, 3)
LEVELS = Items(Integer(-16, 15), 1, 16)

# The architecture switches of timm that may stand in a file. Never: weights (pretrained, pretrained_cfg,
# checkpoint_path, cache_dir), classes and functions, file names.
BACKBONE_SWITCHES = Fields(
    {
        "pad_type": Choice(("", "same", "valid")),
        "output_stride": Choice((8, 16, 32)),
        "out_indices": LEVELS,
        "img_size": Either((Items(Integer(32, MAX_SIDE), 2, 2), Integer(32, MAX_SIDE))),
        "window_size": Either((Items(Integer(1, 32), 2, 2), Integer(1, 32))),
        "strict_img_size": Flag(),
        "dynamic_img_size": Flag(),
        "dynamic_img_pad": Flag(),
        "always_partition": Flag(),
    },
    unknown="it is no architecture switch; weights come from the checkpoint or by load_backbone_weights()",
)

CONFIG_FIELDS: dict[str, Rule] = {
    # classes
    "num_labels": Maybe(Integer(1, MAX_LABELS)),
    "void_label_id": Maybe(LABEL_ID),
    # generators
    "image_size": Items(SIDE, 1, 2),
    "noise_dim": Integer(0, 4096),
    "noise_tokens": Integer(1, 1024),
    "noise_token_dim": Integer(1, 4096),
    "noise_mlp_dim": Integer(1, 16384),
    "noise_injection": Choice(NOISE_INJECTIONS),
    "attention_gate_init": Number(-100, 100),
    "use_self_attention": Flag(),
    "self_attention_gate_init": Number(-100, 100),
    "attention_resolution": Integer(0, 256),
    "attention_strides": Maybe(Items(Integer(1, MAX_SIDE), 0, MAX_LEVELS)),
    "pyramid_channels": Items(WIDTH, 1, MAX_LEVELS),
    "base_channels": WIDTH,
    "channel_multipliers": Items(WIDTH, 2, MAX_LEVELS),
    "spade_channels": WIDTH,
    "concatenate_coarsest": Flag(),
    "spectral_norm": Flag(),
    "padding_mode": Choice(PADDING_MODES),
    "output_padding_mode": Maybe(Choice(PADDING_MODES)),
    "upsample_mode": Choice(UPSAMPLE_MODES),
    "texture_noise": Flag(),
    "position_waves": Integer(0, 1024),
    "normalization_eps": Number(1e-12, 1),
    "init_gain": Number(0, 100),
    "use_instance_offsets": Flag(),
    "low_resolution_offsets": Flag(),
    # discriminators
    "encoder_channels": Items(WIDTH, 0, MAX_LEVELS),
    "decoder_channels": Items(WIDTH, 0, MAX_LEVELS),
    "patch_encoder_blocks": Items(Integer(-MAX_LEVELS, 4 * MAX_LEVELS), 0, MAX_LEVELS),
    "patch_decoder_blocks": Items(Integer(-MAX_LEVELS, 4 * MAX_LEVELS), 0, MAX_LEVELS),
    "patch_channels": WIDTH,
    "backbone": BACKBONE,
    "backbone_kwargs": Maybe(BACKBONE_SWITCHES),
    "backbone_out_indices": Maybe(LEVELS),
    "backbone_mean": Maybe(MEAN),
    "backbone_std": Maybe(STD),
    "feature_conditioning": Choice(FEATURE_CONDITIONINGS),
    "full_resolution_channels": WIDTH,
    "backbone_in_checkpoint": Flag(),
}

# module.Class; transformers notes down where it took code from as "user/name--module.Class".
CODE_REFERENCE = Text(200, r"([\w.-]+(/[\w.-]+)?--)?[A-Za-z_]\w*\.[A-Za-z_]\w*", "module.Class")
ATTENTION = Maybe(Choice(("eager", "sdpa")))  # other names make transformers fetch kernels

# What transformers itself writes into a config, or passes to one.
TRANSFORMERS_FIELDS: dict[str, Rule] = {
    "model_type": NAME,
    "architectures": Maybe(Items(NAME, 0, 8)),
    "auto_map": Maybe(Entries(NAME, CODE_REFERENCE, 8)),
    "transformers_version": Maybe(NAME),
    "dtype": Maybe(FloatType()),
    "torch_dtype": Maybe(FloatType()),
    "id2label": Maybe(ID2LABEL),
    "label2id": Maybe(Entries(NAME, Either((LABEL_ID, Text(4, "[0-9]+", f"0..{MAX_LABELS - 1}"))), MAX_LABELS)),
    "problem_type": Maybe(Choice(("regression", "single_label_classification", "multi_label_classification"))),
    "name_or_path": Maybe(Path()),
    "_name_or_path": Maybe(Path()),
    "_commit_hash": Maybe(Text(64, "[0-9a-f]*", "a commit")),
    "attn_implementation": ATTENTION,
    "_attn_implementation": ATTENTION,
    "_attn_implementation_autoset": Flag(),
    "experts_implementation": Maybe(Choice(("eager",))),
    "output_attentions": Maybe(Flag()),
    "output_hidden_states": Maybe(Flag()),
    "return_dict": Maybe(Flag()),
    "is_encoder_decoder": Flag(),
    "tie_word_embeddings": Maybe(Flag()),
    "chunk_size_feed_forward": Integer(0, 0),
}

VALUE_TABLE = Entries(Either((FILE_VALUE, Text(9, "-?[0-9]+", "a whole number"))), LABEL_ID, 2**16)
ENCODING_FIELDS = {"name": NAME, "offset": Maybe(FILE_VALUE), "values": VALUE_TABLE}
PROCESSOR_FIELDS: dict[str, Rule] = {
    "id2label": ID2LABEL,
    "palette": Maybe(Items(COLOR, 0, MAX_LABELS)),
    "void_label_id": Maybe(LABEL_ID),
    "void_values": Maybe(Items(FILE_VALUE, 0, 1024)),
    "size": Maybe(
        Either((SIDE, Items(SIDE, 2, 2), Fields({"height": SIDE, "width": SIDE}, required=("height", "width"))))
    ),
    "size_divisor": SIDE,
    "do_resize": Flag(),
    "color_tolerance": Number(0, 442),  # from black to white
    "max_unmatched_share": Number(0, 1),
    "stuff_ids": Maybe(Items(LABEL_ID, 0, MAX_LABELS)),
    "label_encoding": Maybe(Either((NAME, Fields(ENCODING_FIELDS, required=("name",))))),
    "label_reading": Maybe(NAME),
    "has_colors": Flag(),
}
TRANSFORMERS_PROCESSOR_FIELDS: dict[str, Rule] = {
    "auto_map": TRANSFORMERS_FIELDS["auto_map"],
    "image_processor_type": Maybe(NAME),
    "feature_extractor_type": Maybe(NAME),
    "processor_class": Maybe(NAME),
    "_processor_class": Maybe(NAME),
}

SEGMENTER_FILE = Fields(
    {
        "format": NAME,
        "label_names": Items(NAME, 1, MAX_LABELS),
        "size": Items(SIDE, 2, 2),
        "network": Fields(
            {
                "backbone": BACKBONE,
                "channels": WIDTH,
                "backbone_kwargs": Maybe(BACKBONE_SWITCHES),
                "mean": Maybe(MEAN),
                "std": Maybe(STD),
            },
            required=("backbone",),
        ),
        "training": Anything(),
        "val": Anything(),
    },
    required=("format", "label_names", "size", "network", "training", "val"),
)

MODEL_INDEX_FILE = Fields(
    {
        "_class_name": Either((NAME, Items(NAME, 2, 2))),
        "_diffusers_version": NAME,
        "_name_or_path": Path(),
        **dict.fromkeys(("generator_model", "processor", "discriminator"), Items(Maybe(NAME), 2, 2)),
    }
)

NOTE = Text(20_000, r"[^\x00-\x08\x0b-\x1f\x7f]*")
CLASSES_FILE = {
    "name": Maybe(NAME),
    "classes": Items(Anything(100), 1, MAX_LABELS),
    "void_index": Maybe(FILE_VALUE),
    "void_name": NAME,
    "void_color": Maybe(COLOR),
    "void_values": Items(FILE_VALUE, 0, 1024),
    "label_encoding": NAME,
    "label_reading": Maybe(NAME),
    "original_encoding": Maybe(NAME),
    "original_reading": Maybe(NAME),
    "has_colors": Flag(),
    "instance_encoding": Maybe(NAME),
    "crop_size": Maybe(Items(Integer(1, 16384), 2, 2)),
    "load_size": Maybe(Items(Integer(1, 16384), 2, 2)),
    "protocols": Items(NAME, 0, 64),
    "license": NAME,
    "license_note": NOTE,
    "note": NOTE,
    "label_encodings": Items(
        Fields(ENCODING_FIELDS | {"note": NOTE}, required=("name",)),
        0,
        32,
    ),
    "hub": Items(
        Fields(
            {
                **dict.fromkeys(
                    ("config", "revision", "image_column", "label_column", "instance_column"), Maybe(NAME)
                ),
                "repository": NAME,
                "label_encoding": NAME,
                "splits": Entries(NAME, NAME, 16),
                "unconfirmed": Items(NAME, 0, 16),
                "note": NOTE,
            },
            required=("repository",),
        ),
        0,
        64,
    ),
}
CLASSES_ENTRY = {"id": LABEL_ID, "name": NAME, "color": Maybe(COLOR), "is_thing": Flag()}


def check_arguments(
    cls: type,
    table: Mapping[str, Rule],
    common: Mapping[str, Rule],
    arguments: tuple,
    keywords: Mapping[str, Any],
) -> dict[str, Any]:
    """Check what a config or processor class is called with, before its `__init__` runs.

    Args:
        cls: the class; the parameters of its `__init__` are its own fields.
        table: rows of its own fields.
        common: rows of the fields that its base class knows.
        arguments, keywords: of the call.

    Returns:
        The fields of the call by name.

    Raises:
        ValueError: for a field that is unknown or out of its bounds, and for class names that are not one per id.
    """
    names = own_fields(cls)
    rules = {**common, **{name: table[name] for name in names if name in table}}
    unknown = f"{cls.__name__} has none of this name; remove it, or update dpsims_hf"
    given = {**dict(zip(names, arguments, strict=False)), **keywords}
    Fields(rules, unknown=unknown).check("", given)
    _check_label_names(given.get("id2label"), given.get("label2id"))
    return given


def own_fields(cls: Any) -> list[str]:
    """The fields that a config or processor class adds to its base class."""
    return [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs")]


def _check_label_names(id2label: Mapping[Any, str] | None, label2id: Mapping[str, Any] | None) -> None:
    """`id2label` must name the ids 0..n-1, each once, and `label2id` must say the same the other way round.

    Both must have passed their rules.
    """
    if id2label is None:
        return
    names = {int(key): name for key, name in id2label.items()}
    missing = next((key for key in range(len(id2label)) if key not in names), None)
    if missing is not None:
        raise ValueError(f"id2label must have the keys 0..{len(id2label) - 1}, each once: it has no {missing}")
    for name, key in (label2id or {}).items():
        if names.get(int(key)) != name:
            raise ValueError(f"label2id[{shortened(name)}]={shortened(key)} contradicts id2label")


def check_parameters(name: str, estimate: int) -> None:
    """Refuse a network that no machine should be asked to build, before it is built."""
    if estimate > MAX_PARAMETERS:
        asked = f"{estimate / 1e9:.1f} billion parameters"
        raise ValueError(f"{name} asks for {asked}: legal are up to {MAX_PARAMETERS / 1e9:g} billion")


__all__ = [
    "CLASSES_ENTRY",
    "CLASSES_FILE",
    "CONFIG_FIELDS",
    "FEATURE_CONDITIONINGS",
    "MAX_ATTENTION_POSITIONS",
    "MAX_BUFFER_BYTES",
    "MAX_LABELS",
    "MAX_PARAMETERS",
    "MAX_PIXELS",
    "MODEL_INDEX_FILE",
    "NOISE_INJECTIONS",
    "PADDING_MODES",
    "PROCESSOR_FIELDS",
    "SEGMENTER_FILE",
    "TRANSFORMERS_FIELDS",
    "TRANSFORMERS_PROCESSOR_FIELDS",
    "UPSAMPLE_MODES",
    "PaddingMode",
    "check_arguments",
    "check_parameters",
    "own_fields",
]
