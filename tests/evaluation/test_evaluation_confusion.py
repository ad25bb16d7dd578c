# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The confusion matrix of semantic consistency, against masks and numbers worked by hand."""

import numpy as np
import pytest

from dpsims_hf.evaluation import ConfusionMatrix


def numpy_scores(predictions: list, references: list, num_labels: int, void: int | None) -> tuple[list, float]:
    """Per-class IoU and pixel accuracy from masks, class by class: no histogram."""
    prediction, reference = np.concatenate(predictions, None), np.concatenate(references, None)
    keep = reference != void if void is not None else np.ones(reference.shape, bool)
    prediction, reference = prediction[keep].astype(int), reference[keep].astype(int)
    iou = []
    for label in range(num_labels):
        union = int(((prediction == label) | (reference == label)).sum())
        shared = int(((prediction == label) & (reference == label)).sum())
        iou.append(shared / union if union and label != void else None)
    return iou, float((prediction == reference).mean())


@pytest.mark.parametrize(
    ("num_labels", "void", "dtype"),
    [(5, 255, np.uint8), (5, 4, np.int64), (400, 65535, np.uint16), (5, None, np.uint8)],
)
def test_confusion_matrix_equals_masks(num_labels: int, void: int | None, dtype: type):
    rng = np.random.default_rng(16)
    classes = rng.choice(num_labels - 2, 3, replace=False)  # most classes are absent; the last one always
    references = [rng.choice(classes, (9, 7)).astype(dtype) for _ in range(4)]
    predictions = [
        np.where(rng.random((9, 7)) < 0.5, r, rng.choice(num_labels - 1, (9, 7))).astype(dtype) for r in references
    ]
    predictions[0][0] = num_labels + 3  # out of range
    if void is not None:
        references[1][2:4] = void
        references[0][0, 0] = void  # out of range, but where nothing is asked
    matrix = ConfusionMatrix(num_labels, void)
    for prediction, reference in zip(predictions, references, strict=True):
        matrix.update(prediction, reference)
    result = matrix.compute()
    iou, accuracy = numpy_scores(predictions, references, num_labels, void)
    counted = [value for value in iou if value is not None]
    assert result["per_class_iou"] == iou
    assert result["mean_iou"] == np.mean(counted) and result["num_classes_counted"] == len(counted) < num_labels
    assert result["pixel_accuracy"] == accuracy
    assert result["void_pixels"] == (0 if void is None else 15)
    assert result["out_of_range_pixels"] == (7 if void is None else 6)


def test_confusion_matrix_by_hand():
    matrix = ConfusionMatrix(4, ignore_index=9, object_labels=[1, 3])
    matrix.update(np.array([[0, 0, 1], [1, -1, 2]]), np.array([[0, 1, 1], [1, 0, 9]]))
    # Class 0: hit 1, asked 2 (one lost to -1), predicted 2, union 3. Class 1: hit 2, asked 3, predicted 2, union 3.
    # Class 2 was predicted only under void, class 3 nowhere: absent.
    assert matrix.compute() == {
        "mean_iou": pytest.approx(0.5),
        "pixel_accuracy": pytest.approx(3 / 5),
        "mean_accuracy": pytest.approx((1 / 2 + 2 / 3) / 2),
        "per_class_iou": [pytest.approx(1 / 3), pytest.approx(2 / 3), None, None],
        "num_classes_counted": 2,
        "object_mean_iou": pytest.approx(2 / 3),
        "void_pixels": 1,
        "out_of_range_pixels": 1,
    }


def test_a_void_label_is_no_class():
    matrix = ConfusionMatrix(3, ignore_index=2)
    matrix.update(np.array([[0, 2, 1, 0]]), np.array([[0, 0, 1, 2]]))  # label 2 predicted for a pixel of class 0
    result = matrix.compute()
    assert result["per_class_iou"] == [0.5, 1.0, None] and result["mean_iou"] == 0.75
    assert (result["num_classes_counted"], result["pixel_accuracy"]) == (2, pytest.approx(2 / 3))
    assert (result["void_pixels"], result["out_of_range_pixels"]) == (1, 0)


def test_confusion_matrix_does_not_depend_on_sharding():
    rng = np.random.default_rng(17)
    pairs = [(rng.integers(0, 7, (6, 6)), rng.integers(0, 5, (6, 6))) for _ in range(9)]
    whole = ConfusionMatrix(5, 4)
    parts = [ConfusionMatrix(5, 4) for _ in range(3)]
    for number, pair in enumerate(pairs):
        whole.update(*pair)
        parts[number % 3].update(*pair)
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].compute() == whole.compute()
    with pytest.raises(ValueError, match="num_labels=5, ignore_index=4 into num_labels=5, ignore_index=None"):
        ConfusionMatrix(5).merge(whole)


def test_confusion_matrix_errors_name_the_cause():
    matrix = ConfusionMatrix(3, ignore_index=255)
    zeros = np.zeros((4, 6), np.uint8)
    with pytest.raises(ValueError, match=r"prediction is \(4, 5\) and reference \(4, 6\)"):
        matrix.update(zeros[:, :5], zeros)
    with pytest.raises(ValueError, match=r"prediction is float64 of shape \(4, 6\)"):
        matrix.update(zeros / 2, zeros)
    with pytest.raises(ValueError, match=r"reference is uint8 of shape \(4, 6, 1\)"):
        matrix.update(zeros, zeros[..., None])
    with pytest.raises(ValueError, match=r"reference holds label 3 \(24 pixels\) but num_labels=3, ignore_index=255"):
        matrix.update(zeros, zeros + 3)
    with pytest.raises(ValueError, match="no label maps were added"):
        matrix.compute()
    matrix.update(zeros, zeros + 255)
    with pytest.raises(ValueError, match="all 24 pixels are void"):
        matrix.compute()
    with pytest.raises(ValueError, match="num_labels=0"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match="object_labels holds 3"):
        ConfusionMatrix(3, object_labels=[3])
