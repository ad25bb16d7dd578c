# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Evaluation protocols as frozen records: everything that must be said with a number for it to be comparable.

What depends on a run (seed, image size, number of images, hash of the weights) is added by the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .segmenters import PUBLISHED, LabelMapping


ONE_PER_MAP = "1 generated image per val label map, against all val photos"
TWENTY_PER_MAP = "20 generated images per val label map: mean over all 190 pairs, then over label maps"
VOID_IN_IMAGES = "void pixels are part of the images"
VOID_IGNORED = "void pixels of the label map are left out; classes without reference and prediction are left out"
LEGACY_RESIZE = "299x299, torch bilinear, no antialiasing"
CLEAN_RESIZE = "299x299, Pillow bicubic on float channels, antialiased"
SEGMENTER_RESIZE = "bilinear, antialiased, to the stated short side; scores back to the images' size, bilinear"
LEGACY_SOURCE = "protocol of OASIS and DP-GAN (pytorch-fid's Inception of 2015-12-05)"
MASK_FORMER_SOURCE = "mIoU_MF of DP-SIMS names only Mask2Former; model, input size and label table are ours"
SIXTEEN_PER_MAP = (
    "16 generated images per val label map; beside them, for colours all val photos, for features the map's own photo "
    "and the 15 with the nearest class histograms"
)
OFFLINE_SOURCE = "ours: values compare only with values of the same backbone, weights and image size"


@dataclass(frozen=True)
class Protocol:
    """How one score is made.

    Args:
        name: What the user asks for, and what stands beside the number.
        metric: fid, kid, precision_recall, lpips, ms_ssim, semantic_consistency, color_texture, grid_artifacts or
            variety.
        title: What tables call it.
        network: Name for `load_extractor`, source for `load_segmenter`, or the LPIPS network; None where the user
            must name it, or none is used.
        resize: What happens to an image before the network, antialiasing included.
        images: The n rule.
        void: The void rule.
        source: Paper and section, or "ours".
        images_per_label_map: Generated images per label map.
        split: Of the dataset.
        network_options: Further arguments of `load_extractor` or `load_segmenter`, as (name, value) pairs.
        metric_options: Arguments of the metric, as (name, value) pairs.
        label_rule: How dataset labels become segmenter classes: "names" or "order" (see `LabelMapping`).
        label_names: (dataset name, segmenter name or None for ignored) where names differ.
    """

    name: str
    metric: str
    title: str
    network: str | None
    resize: str
    images: str
    void: str
    source: str
    images_per_label_map: int = 1
    split: str = "val"
    network_options: tuple[tuple[str, Any], ...] = ()
    metric_options: tuple[tuple[str, Any], ...] = ()
    label_rule: str | None = None
    label_names: tuple[tuple[str, str | None], ...] = ()

    def facts(self) -> dict[str, Any]:
        """The record as JSON values, for results; empty fields and the table of label names are left out."""
        facts = {key: value for key, value in vars(self).items() if value not in (None, ()) and key != "label_names"}
        for key in ("network_options", "metric_options"):
            if key in facts:
                facts[key] = {name: _plain(value) for name, value in facts[key]}
        return facts

    def network_kwargs(self) -> dict[str, Any]:
        """`network_options` as keyword arguments."""
        return {name: _plain(value) for name, value in self.network_options}

    def metric_kwargs(self) -> dict[str, Any]:
        """`metric_options` as keyword arguments."""
        return dict(self.metric_options)

    def label_mapping(
        self, labels: Sequence[str], segmenter_labels: Sequence[str], void_label_id: int | None
    ) -> LabelMapping:
        """From a dataset's labels to a segmenter's classes by this protocol's rule.

        Raises:
            ValueError: they do not match; the message has both class counts.
        """
        try:
            if self.label_rule == "order":
                return LabelMapping.by_order(labels, segmenter_labels, void_label_id)
            return LabelMapping.by_names(labels, segmenter_labels, void_label_id, dict(self.label_names))
        except ValueError as error:
            raise ValueError(f"{self.name} does not fit this dataset: {error}") from error


def _plain(value: Any) -> Any:
    """Pairs -> dict, other tuples -> list."""
    if not isinstance(value, tuple):
        return value
    pairs = value and all(isinstance(item, tuple) and len(item) == 2 for item in value)
    return {key: _plain(item) for key, item in value} if pairs else list(value)


# COCO-Stuff's 91 stuff classes to the 53 of COCO panoptic segmentation: 17 merged classes; 12 were dropped.
_COCO_MERGED = {
    "tree-merged": ("branch", "tree", "bush", "leaves"),
    "fence-merged": ("cage", "fence", "railing"),
    "ceiling-merged": ("ceiling-tile", "ceiling-other"),
    "sky-other-merged": ("clouds", "sky-other", "fog"),
    "cabinet-merged": ("cupboard", "cabinet"),
    "table-merged": ("desk-stuff", "table"),
    "floor-other-merged": ("floor-marble", "floor-other", "floor-tile"),
    "pavement-merged": ("floor-stone", "pavement"),
    "mountain-merged": ("hill", "mountain"),
    "grass-merged": ("moss", "grass", "straw"),
    "dirt-merged": ("mud", "dirt"),
    "paper-merged": ("napkin", "paper"),
    "food-other-merged": ("salad", "vegetable", "food-other"),
    "building-other-merged": ("skyscraper", "building-other"),
    "rock-merged": ("stone", "rock"),
    "wall-other-merged": ("wall-other", "wall-concrete", "wall-panel"),
    "rug-merged": ("mat", "rug", "carpet"),
}
_COCO_DROPPED = (
    "cloth clothes furniture-other ground-other metal plant-other plastic solid-other structural-other textile-other "
    "waterdrops wood"
).split()
# Ids 1..182 hold 11 things that COCO never annotated.
_COCO_UNUSED = ("street sign", "hat", "shoe", "eye glasses", "plate", "mirror", "window", "desk", "door", "blender")
_COCO171 = tuple((name, None) for name in (*_COCO_UNUSED, "hair brush"))
_COCO133 = _COCO171 + tuple((name, None) for name in _COCO_DROPPED)
_COCO133 += tuple((name, merged) for merged, names in _COCO_MERGED.items() for name in names)
# Cityscapes' ids without a training id.
_CITYSCAPES_IGNORED = (
    "unlabeled/ego vehicle/rectification border/out of roi/static/dynamic/ground/parking/rail track/guard rail/bridge/"
    "tunnel/polegroup/caravan/trailer/license plate"
).split("/")
_CITYSCAPES19 = tuple((name, None) for name in _CITYSCAPES_IGNORED)
# Cityscapes' groups object, human and vehicle, as far as they are evaluated: the classes of obj-mIoU (DP-GAN Table 2).
# Eight of them have instances.
CITYSCAPES_OBJECTS = "pole/traffic light/traffic sign/person/rider/car/truck/bus/train/motorcycle/bicycle".split("/")
# MobileNetV1 in the form in which its freely licensed weights exist (TensorFlow padding, inputs in [-1, 1]).
_MOBILENET = (("backbone_kwargs", (("pad_type", "same"),)), ("mean", (0.5, 0.5, 0.5)), ("std", (0.5, 0.5, 0.5)))
_FID: dict[str, Any] = {"images": ONE_PER_MAP, "void": VOID_IN_IMAGES}
_OFFLINE: dict[str, Any] = _FID | {
    "network": "timm:mobilenetv1_100",
    "resize": "none",
    "source": OFFLINE_SOURCE,
    "network_options": _MOBILENET,
}
_KID = (("subsets", 100), ("subset_size", 1000))
_SMALL_KID = (("subsets", 100), ("subset_size", 100))  # val splits of some hundred images have no 1000
_SEGMENT: dict[str, Any] = {
    "metric": "semantic_consistency",
    "resize": SEGMENTER_RESIZE,
    "images": "1 generated image per val label map",
    "void": VOID_IGNORED,
    "label_rule": "names",
}
_DIVERSITY: dict[str, Any] = {
    "images": TWENTY_PER_MAP,
    "images_per_label_map": 20,
    "void": VOID_IN_IMAGES,
    "resize": "none",
}


def _features(name: str, metric: str, title: str, network: str, **fields: Any) -> Protocol:
    """A protocol on Inception features."""
    resize = CLEAN_RESIZE if network == "inception_clean" else LEGACY_RESIZE
    return Protocol(name, metric, title, network, **({"resize": resize} | _FID | fields))


def _grid_artifacts(name: str, title: str, window: int, cycles: tuple[int, ...]) -> Protocol:
    """Windows of one size, and frequencies in cycles per window."""
    return Protocol(
        name,
        "grid_artifacts",
        title,
        None,
        resize="none",
        images=ONE_PER_MAP,
        void=f"windows of {window} pixels, every 16 pixels, wholly inside one class that is not void; the spectrum is "
        "that of whole images",
        source="ours, after the spectra of Durall et al. 2020: read each value against that of real photos",
        metric_options=(("window", window), ("cycles", cycles)),
    )


def _mask_former(name: str, title: str, network: str, short_side: int, **fields: Any) -> Protocol:
    """A Mask2Former or MaskFormer from the Hub."""
    fields = _SEGMENT | {"source": MASK_FORMER_SOURCE} | fields
    return Protocol(name=name, title=title, network=network, network_options=(("short_side", short_side),), **fields)


def _published(name: str, title: str, kind: str, **fields: Any) -> Protocol:
    """A segmenter of the papers, from its original checkpoint."""
    published = PUBLISHED[kind]
    resize = "bilinear, antialiased, to the network's own input sizes; scores back to the images' size, bilinear"
    fields = _SEGMENT | {"source": published.source, "resize": resize} | fields
    return Protocol(name=name, title=title, network=kind, network_options=(("kind", kind),), **fields)


_ALL = (
    _features("fid_legacy", "fid", "FID", "inception", source=LEGACY_SOURCE),
    _features("fid_clean", "fid", "FID (clean-fid)", "inception_clean", source="Parmar et al. 2022, mode clean"),
    _features("kid_legacy", "kid", "KID", "inception", source="Binkowski et al. 2018", metric_options=_KID),
    _features(
        "precision_recall_inception",
        "precision_recall",
        "Precision and recall",
        "inception",
        source="Kynkaanniemi et al. 2019 on Inception features; the paper takes VGG-16 features, OASIS Table K no k",
        metric_options=(("k", 3),),
    ),
    _features(
        "precision_recall_vgg16",
        "precision_recall",
        "Precision and recall (VGG-16)",
        "vgg16",
        resize="224x224, Pillow bicubic on float channels, antialiased",
        source="Kynkaanniemi et al. 2019, OASIS Table K: VGG-16's second fully connected layer; torchvision's weights",
        metric_options=(("k", 3),),
    ),
    Protocol("fid_backbone", "fid", "FID of a timm backbone", **_OFFLINE),
    Protocol("kid_backbone", "kid", "KID of a timm backbone", metric_options=_SMALL_KID, **_OFFLINE),
    Protocol(
        "precision_recall_backbone",
        "precision_recall",
        "Precision and recall of a timm backbone",
        metric_options=(("k", 3),),
        **_OFFLINE,
    ),
    Protocol("lpips_vgg", "lpips", "LPIPS", "vgg", source="OASIS Sec. 4, lpips package v0.1, net vgg", **_DIVERSITY),
    Protocol("ms_ssim", "ms_ssim", "MS-SSIM", None, source="OASIS Sec. 4, images in [0, 1]", **_DIVERSITY),
    Protocol(
        "ms_ssim_pytorch",
        "ms_ssim",
        "MS-SSIM (as pytorch_msssim)",
        None,
        source="OASIS Table 2, by the rules of the package that its released code names; images in [0, 1]",
        metric_options=(("implementation", "pytorch_msssim"),),
        **_DIVERSITY,
    ),
    _mask_former(
        "miou_mf_ade",
        "mIoU (Mask2Former, ADE20K)",
        "facebook/mask2former-swin-large-ade-semantic",
        640,
        label_rule="order",
    ),
    _mask_former(
        "miou_mf_cityscapes",
        "mIoU (Mask2Former, Cityscapes)",
        "facebook/mask2former-swin-large-cityscapes-semantic",
        512,
        label_names=_CITYSCAPES19,
    ),
    _mask_former(
        "miou_mf_coco133",
        "mIoU (Mask2Former, COCO panoptic)",
        "facebook/mask2former-swin-large-coco-panoptic",
        640,
        label_names=_COCO133,
    ),
    _mask_former(
        "miou_mf_coco171",
        "mIoU (MaskFormer, COCO-Stuff)",
        "facebook/maskformer-resnet101-coco-stuff",
        640,
        label_names=_COCO171,
    ),
    Protocol(
        name="miou_uper_ade",
        title="mIoU (UperNet, ADE20K)",
        network="openmmlab/upernet-convnext-tiny",
        source="ours: not the UperNet-101 of OASIS and DP-GAN, whose values do not compare with these",
        network_options=(("short_side", 512),),
        **(_SEGMENT | {"label_rule": "order"}),
    ),
    _published("miou_uper101_ade", "mIoU (UperNet-101, ADE20K)", "upernet101", label_rule="order"),
    _published("miou_drn_cityscapes", "mIoU (DRN-D-105, Cityscapes)", "drn_d_105", label_names=_CITYSCAPES19),
    _published("miou_deeplab_coco", "mIoU (DeepLabV2, COCO-Stuff)", "deeplab_v2", label_rule="order"),
    Protocol(
        name="miou_own",
        title="mIoU (own segmenter)",
        network=None,
        source="ours: a segmenter trained on the train split; read each value against its value on real photos",
        network_options=(("kind", "own"),),
        **_SEGMENT,
    ),
    Protocol(
        "color_texture_oasis",
        "color_texture",
        "Colour and texture distance",
        None,
        resize="none",
        images=ONE_PER_MAP,
        void="void has no histogram",
        source="OASIS Sec. 4; 32 bins per LAB channel and LBP with 8 points at radius 1 are ours",
    ),
    _grid_artifacts("grid_artifacts_32", "Grid artifacts, periods 8, 4, 8/3, 2", 32, (4, 8, 12, 16)),
    _grid_artifacts("grid_artifacts_64", "Grid artifacts, periods 16, 8, 4, 2", 64, (4, 8, 16, 32)),
    Protocol(
        "variety_backbone",
        "variety",
        "Variety in colours and in levels of a timm backbone",
        images=SIXTEEN_PER_MAP,
        void="void has no colour and is no part of a class histogram; features see the whole images",
        images_per_label_map=16,
        **{name: value for name, value in _OFFLINE.items() if name not in ("images", "void")},
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def get_protocol(name: str) -> Protocol:
    """A protocol by name. Raises ValueError with all names for one that there is not."""
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


__all__ = ["CITYSCAPES_OBJECTS", "PROTOCOLS", "Protocol", "get_protocol"]
