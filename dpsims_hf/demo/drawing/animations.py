# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Frames -> a GIF and an MP4 that run there and back without a jump."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image


FRAMES_PER_SECOND = 8


def there_and_back(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """a, b, c -> a, b, c, b: repeated, it never jumps."""
    return [*frames, *frames[-2:0:-1]]


def write_gif(path: str | Path, frames: Sequence[Image.Image], frames_per_second: int = FRAMES_PER_SECOND) -> None:
    """Write an endless GIF; every frame has its own 256 colours.

    Args:
        path: ends in .gif.
        frames: RGB images of one size, at least 2.
        frames_per_second: rounded so that a frame takes a multiple of 10 ms, as GIF counts.
    """
    _check(frames)
    milliseconds = round(100 / frames_per_second) * 10
    first, *rest = there_and_back(frames)
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0)


def write_mp4(path: str | Path, frames: Sequence[Image.Image], frames_per_second: int = FRAMES_PER_SECOND) -> None:
    """Write an H.264 video that browsers play; its colours are tagged, so that they come back as they were.

    Args:
        path: ends in .mp4.
        frames: RGB images of one size with even sides, at least 2.
        frames_per_second: 1 or more.
    """
    _check(frames)
    width, height = frames[0].size
    if width % 2 or height % 2:
        raise ValueError(f"a video of {width} x {height} pixels: H.264 needs even sides")
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=frames_per_second, options={"crf": "16", "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, frames_per_second)
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for number, image in enumerate(there_and_back(frames)):
            frame = av.VideoFrame.from_image(image).reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = number, context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _check(frames: Sequence[Image.Image]) -> None:
    if len(frames) < 2:
        raise ValueError(f"an animation of {len(frames)} frames: it needs at least 2")


__all__ = ["FRAMES_PER_SECOND", "there_and_back", "write_gif", "write_mp4"]
