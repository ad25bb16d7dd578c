# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Who publishes a checkpoint without its frozen backbone's weights hears of it, and how to put them inside."""

from types import SimpleNamespace

import pytest

from dpsims_hf.hub.__main__ import _tell_of_backbone
from dpsims_hf.pipeline_checkpoint_folder import check_backbone_ready


REMEDY = "python -m dpsims_hf.hub export CHECKPOINT DIR --backbone_weights FILE"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('{"backbone": "resnet18", "backbone_in_checkpoint": false}', True),
        ('{"backbone": "resnet18", "backbone_in_checkpoint": true}', False),
        ('{"model_type": "oasis_discriminator"}', False),
        ("[]", False),
        (None, False),
    ],
)
def test_publishing_tells_of_a_backbone_left_out(config, told, tmp_path, capsys):
    (tmp_path / "discriminator").mkdir()
    if config is not None:
        (tmp_path / "discriminator" / "config.json").write_text(config)
    _tell_of_backbone(tmp_path)
    assert (REMEDY in capsys.readouterr().err) == told


def test_segment_names_the_remedy():
    network = SimpleNamespace(backbone_ready=False, config=SimpleNamespace(backbone="resnet18"))
    with pytest.raises(ValueError, match="'resnet18' has no weights in this checkpoint") as error:
        check_backbone_ready(network)
    assert REMEDY in str(error.value)
