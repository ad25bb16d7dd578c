"""Named settings of complete training runs, each value with its source. Python, so that every line can say why.

"paper" is Berrada et al., arXiv:2312.13314; "ours" a choice of this project where the paper is silent or where our
measurements (at 96x128 on two CPU cores) differ from it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """A value and where it comes from."""

    value: Any
    source: str


@dataclass(frozen=True)
class Recipe:
    """Settings by section and key.

    Args:
        family: row of `FAMILIES`.
        description: one line for the list of recipes.
        settings: section -> key -> Setting.
    """

    family: str
    description: str
    settings: dict[str, dict[str, Setting]]


def _merged(base: dict[str, dict[str, Setting]], *changes: dict[str, dict[str, Setting]]) -> dict:
    result = {section: dict(settings) for section, settings in base.items()}
    for change in changes:
        for section, settings in change.items():
            result.setdefault(section, {}).update(settings)
    return result


_PAPER: dict[str, dict[str, Setting]] = {
    "training": {
        "batch_size": Setting(8, "paper Sec. 4.1: 64 in all, on 8 processes"),
        "learning_rate_generator": Setting(1e-3, "paper Sec. 4.1"),
        "learning_rate_discriminator": Setting(1e-3, "paper Sec. 4.1"),
        "adam_beta1": Setting(0.0, "paper Sec. 4.1"),
        "adam_beta2": Setting(0.99, "paper Sec. 4.1"),
        "ema_decay": Setting(0.9999, "paper Sec. 4.1"),
        "max_train_steps": Setting(300_000, "ours; the paper does not say"),
        "mixed_precision": Setting("bf16", "ours; losses and statistics stay in float32"),
    },
    "data": {
        "rare_class_sampling": Setting(True, "paper Sec. 4.1"),
        "horizontal_flip": Setting(0.5, "ours, as in SPADE and OASIS"),
    },
    "loss": {
        "lambda_gan": Setting(1.0, "paper Sec. 4.1"),
        "lambda_contrastive": Setting(100.0, "paper Sec. 4.1"),
        "lambda_diversity": Setting(10.0, "paper Sec. 4.1"),
        "focal_gamma": Setting(2.0, "paper Sec. 4.1"),
        "contrastive_temperature": Setting(0.3, "paper Sec. 4.1, Table 7"),
        "contrastive_negatives": Setting(128, "paper Sec. 4.1"),
        "label_smoothing": Setting(0.1, "ours; Sec. 3.3 leaves epsilon open"),
    },
    "discriminator": {
        "backbone": Setting("convnext_large.fb_in22k_ft_in1k_384", "paper Table 3, best row"),
        "feature_conditioning": Setting("full", "paper Table 5, best row"),
    },
}

_OFFSETS = {"generator": {"use_instance_offsets": Setting(True, "paper Sec. 4.1, with instance annotations")}}


def _paper_size(height: int, width: int) -> dict[str, dict[str, Setting]]:
    where = Setting((height, width), "paper Sec. 4.1")
    return {"data": {"image_size": where}, "generator": {"image_size": where}}


_CAMVID_SMALL: dict[str, dict[str, Setting]] = {
    "training": {
        "batch_size": Setting(8, "ours: one process, two CPU cores"),
        "max_train_steps": Setting(1500, "ours: about 40 minutes on two cores"),
        "ema_decay": Setting(0.998, "ours: half-life of 350 steps for a short run"),
        "batch_norm_refresh_batches": Setting(12, "ours: about 100 label maps of 367"),
        "sample_steps": Setting(250, "ours"),
        "checkpointing_steps": Setting(250, "ours"),
    },
    "data": {
        "image_size": Setting((96, 128), "ours: CPU size; fine-tuned by camvid_small_192"),
        "scale_range": Setting((1.0, 1.2), "ours: a little room for crops"),
        "workers": Setting(0, "ours: both cores belong to the networks"),
    },
    "loss": {
        "lambda_contrastive": Setting(30.0, "ours: at 100 its gradient on the image is 20 times the GAN term's"),
        "diversity_target": Setting("images", "ours: on G^f the loss is met without a visible change"),
        "diversity_threshold": Setting(0.1, "ours: at 0.2 (and pool 8) colours turned false"),
        "diversity_pool": Setting(4, "ours: colour and light, not fine texture"),
        "lambda_diversity": Setting(50.0, "ours: at 10 the noise changes nothing in a run of this length"),
    },
    "generator": {
        "preset": Setting("small", "ours"),
        "image_size": Setting((192, 256), "ours: the size the model is published for"),
        "position_waves": Setting(16, "ours: without it facades and trees show the lattice of the up-sampling"),
        "output_padding_mode": Setting("reflect", "ours: zeros at full resolution left a wrong border"),
        "attention_gate_init": Setting(1.0, "ours: noise acts from the first step of a short run"),
    },
    "discriminator": {
        "preset": Setting("small", "ours"),
        "backbone": Setting("mobilenetv2_100", "ours: small and really pre-trained (paper Table 2: small works)"),
        "backbone_kwargs": Setting({"pad_type": "same"}, "the weights come from TensorFlow"),
        "backbone_mean": Setting([0.5, 0.5, 0.5], "the weights' own normalisation"),
        "backbone_std": Setting([0.5, 0.5, 0.5], "the weights' own normalisation"),
    },
    "contrastive": {
        "networks": Setting(
            [
                {
                    "network": "mobilenetv2_100",
                    "out_indices": [1, 2, 3],
                    "kwargs": {"pad_type": "same"},
                    "mean": [0.5, 0.5, 0.5],
                    "std": [0.5, 0.5, 0.5],
                }
            ],
            "ours: strides 4, 8, 16 of a network that is small enough for a CPU",
        ),
        "hidden_dim": Setting(128, "ours: CPU size"),
        "output_dim": Setting(128, "ours: CPU size"),
    },
}

_CAMVID_CROPS: dict[str, dict[str, Setting]] = {
    "data": {"scale_range": Setting((1.4, 2.0), "ours: crops of 96x128 up to the scale of 192x256")},
    "training": {"max_train_steps": Setting(1800, "ours: counted with the first part's steps")},
    "loss": {
        "lambda_diversity": Setting(100.0, "ours: once colours are natural the noise may do more"),
        "diversity_threshold": Setting(0.13, "ours: as above"),
    },
}

_CAMVID_WHOLE: dict[str, dict[str, Setting]] = {
    "data": {
        "image_size": Setting((192, 256), "ours: the size the model is published for"),
        "scale_range": Setting((1.0, 1.1), "ours: a little room for crops"),
    },
    "training": {
        "batch_size": Setting(4, "ours: four times the pixels"),
        "batch_norm_refresh_batches": Setting(24, "ours: about 100 label maps of 367"),
        "max_train_steps": Setting(2300, "ours: counted with the earlier parts' steps"),
    },
}

RECIPES: dict[str, Recipe] = {
    "ade20k": Recipe("dpsims", "DP-SIMS on ADE20K, 256x256 (paper)", _merged(_PAPER, _paper_size(256, 256))),
    "coco_stuff": Recipe(
        "dpsims", "DP-SIMS on COCO-Stuff, 256x256 (paper)", _merged(_PAPER, _paper_size(256, 256), _OFFSETS)
    ),
    "cityscapes": Recipe(
        "dpsims", "DP-SIMS on Cityscapes, 256x512 (paper)", _merged(_PAPER, _paper_size(256, 512), _OFFSETS)
    ),
    "camvid_small": Recipe(
        "dpsims", "DP-SIMS on CamVid at 96x128: the embedded checkpoint, first part", _merged(_PAPER, _CAMVID_SMALL)
    ),
    "camvid_small_crops": Recipe(
        "dpsims",
        "DP-SIMS on CamVid, crops near the scale of 192x256: resumes camvid_small, second part",
        _merged(_PAPER, _CAMVID_SMALL, _CAMVID_CROPS),
    ),
    "camvid_small_192": Recipe(
        "dpsims",
        "DP-SIMS on CamVid, whole maps at 192x256: resumes camvid_small_crops, third part",
        _merged(_PAPER, _CAMVID_SMALL, _CAMVID_CROPS, _CAMVID_WHOLE),
    ),
    "tiny": Recipe(
        "dpsims",
        "a minute on any machine, random backbone: for tests and first tries",
        _merged(
            _PAPER,
            {
                "training": {
                    "batch_size": Setting(2, "tests"),
                    "max_train_steps": Setting(4, "tests"),
                    "mixed_precision": Setting("no", "tests"),
                    "batch_norm_refresh_batches": Setting(2, "tests"),
                    "sample_maps": Setting(2, "tests"),
                    "sample_noises": Setting(2, "tests"),
                    "log_steps": Setting(1, "tests"),
                },
                "data": {"image_size": Setting((32, 64), "tests"), "workers": Setting(0, "tests")},
                "generator": {"preset": Setting("tiny", "tests")},
                "discriminator": {"preset": Setting("tiny", "tests"), "backbone": Setting("test_resnet", "tests")},
                "contrastive": {
                    "networks": Setting(
                        [{"network": "test_resnet", "out_indices": [1, 2], "weights": "random"}], "tests"
                    ),
                    "hidden_dim": Setting(8, "tests"),
                    "output_dim": Setting(8, "tests"),
                },
                "loss": {"contrastive_negatives": Setting(16, "tests")},
            },
        ),
    ),
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; a ValueError lists the known ones."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
