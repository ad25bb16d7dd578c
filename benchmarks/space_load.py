# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Many people at once: does everybody get their own image, how fast, and does the server's memory stay?

    python -m benchmarks.space_load [--users 20] [--seconds 120] [--walks 5] [--model tiny]

Starts the Space in a process of its own. Every user has an own label map and own seeds; the images that they must get
are computed beforehand, and every answer is compared with them bit for bit. Then one user asks for single pictures
while others have long walks between seeds drawn: how much longer does a picture take than on the idle page?
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil
from gradio_client import Client, handle_file
from PIL import Image

from dpsims_hf.demo.drawing.scenes import MAX_STEPS, Scene, Variant, render
from dpsims_hf.demo.models.library import LoadedModel, load_model


ROOT = Path(__file__).parents[1]
EMBEDDED = "checkpoints/dpsims-camvid-small"
SEEDS_PER_USER = 2
START_SECONDS = 180
SAMPLE_SECONDS = 2.0


@dataclass(frozen=True)
class User:
    """Somebody with an own label map.

    Args:
        label_map: its file.
        expected: (height, width, 3) uint8 by seed.
    """

    label_map: Path
    expected: dict[int, np.ndarray]


@dataclass
class Tally:
    """What happened; filled by all users' threads.

    Args:
        latencies: seconds of each request that was answered by the right image.
        wrong: number of answers with another image than the user's own.
        errors: messages with their number.
        memory: (seconds since the start, bytes).
        seconds: how long it took.
    """

    latencies: list[float] = field(default_factory=list)
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0

    def report(self) -> str:
        """The numbers as text."""
        answered = len(self.latencies)
        lines = [f"{answered} right images, {self.wrong} wrong ones, {self.errors.total()} errors"]
        lines += [f"  {count} x {message}" for message, count in self.errors.most_common()]
        if answered:
            middle, late = np.percentile(self.latencies, [50, 95])
            lines.append(f"{answered / self.seconds:.1f} requests/s, latency median {middle:.2f} s, p95 {late:.2f} s")
        if len(self.memory) >= 8:
            times, sizes = np.array(self.memory).T / [[60], [1e6]]
            quarter = len(sizes) // 4
            slope = np.polyfit(times[len(sizes) // 2 :], sizes[len(sizes) // 2 :], 1)[0]
            lines.append(
                f"server memory {sizes[:quarter].mean():.0f} MB in the first quarter, {sizes[-quarter:].mean():.0f} "
                f"MB in the last; slope in the second half {slope:+.1f} MB/min"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Strokes:
    """Seconds of single pictures, on the idle page and beside walks.

    Args:
        idle, busy: of each picture.
        walks: number of walks at a time.
        walked: images of walks that were drawn meanwhile.
    """

    idle: list[float]
    busy: list[float]
    walks: int
    walked: int

    @property
    def ratio(self) -> float:
        """Median beside walks over median on the idle page."""
        return float(np.median(self.busy) / np.median(self.idle))

    def report(self) -> str:
        """The numbers as text."""
        return (
            f"a picture takes {np.median(self.idle):.2f} s on the idle page and {np.median(self.busy):.2f} s (at most "
            f"{max(self.busy):.2f} s) beside {self.walks} walks: {self.ratio:.2f} times; {self.walked} images of "
            "walks came back meanwhile"
        )


def strokes_beside_walks(url: str, user: User, others: Sequence[User], count: int = 10) -> Strokes:
    """Ask for single pictures, alone and while each of the others walks without a pause.

    Args:
        url: of the running Space.
        user: who asks for pictures.
        others: who walk, MAX_STEPS images at a time.
        count: pictures in each of the two cases.
    """
    walked, stop = Counter(), threading.Event()

    def draw(client: Client) -> float:
        start = time.monotonic()
        client.predict(label_map=handle_file(user.label_map), seed=0, api_name="/generate")
        return time.monotonic() - start

    def walk(other: User) -> None:
        client = Client(url, verbose=False, analytics_enabled=False, download_files=False)
        while not stop.is_set():
            job = client.submit(label_map=handle_file(other.label_map), steps=MAX_STEPS, api_name="/interpolate")
            while not job.done() and not stop.wait(0.1):
                pass
            if job.done():
                walked["images"] += len(job.result()[0])

    client = Client(url, verbose=False, analytics_enabled=False, download_files=False)
    draw(client)  # what happens once in a process
    idle = [draw(client) for _ in range(count)]
    threads = [threading.Thread(target=walk, args=(other,), daemon=True) for other in others]
    for thread in threads:
        thread.start()
    time.sleep(2 * float(np.median(idle)) + 1)  # until all of them wait for their turn
    busy = [draw(client) for _ in range(count)]
    stop.set()
    for thread in threads:
        thread.join(START_SECONDS)
    return Strokes(idle, busy, len(others), walked["images"])


def make_users(model: LoadedModel, count: int, folder: Path) -> list[User]:
    """Users with label maps of random blocks, no two alike, and the images that they must get."""
    users = []
    height, width = model.training_size
    for number in range(count):
        rng = np.random.default_rng(number)
        blocks = rng.integers(0, len(model.labels), (4, 4))
        label_map = np.kron(blocks, np.ones((height // 4, width // 4), dtype=np.int64))
        path = folder / f"user_{number}.png"
        Image.fromarray(label_map.astype(np.uint8)).save(path)
        seeds = [SEEDS_PER_USER * number + i for i in range(SEEDS_PER_USER)]
        images = render(model, Scene(path.stem, label_map, model.labels), [Variant(seed) for seed in seeds])
        users.append(User(path, {seed: np.asarray(image) for seed, image in zip(seeds, images, strict=True)}))
    return users


def load(url: str, users: Sequence[User], seconds: float, memory: Callable[[], float]) -> Tally:
    """Let all users ask at once, each one request after the other.

    Args:
        url: of the running Space.
        users: from `make_users` for the model that it serves.
        seconds: no request begins after it.
        memory: the server's, in bytes; read now and then.
    """
    tally, lock = Tally(), threading.Lock()
    start = time.monotonic()
    threads = [threading.Thread(target=_ask, args=(url, user, start + seconds, tally, lock)) for user in users]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tally.memory.append((time.monotonic() - start, memory()))
        time.sleep(min(SAMPLE_SECONDS, seconds / 10))
    tally.seconds = time.monotonic() - start
    return tally


def _ask(url: str, user: User, end: float, tally: Tally, lock: threading.Lock) -> None:
    with tempfile.TemporaryDirectory() as downloads:
        try:
            client = Client(url, verbose=False, analytics_enabled=False, download_files=downloads)
        except Exception as error:  # whatever a user meets is a result
            with lock:
                tally.errors[_words(error)] += 1
            return
        seeds, request = list(user.expected), 0
        while time.monotonic() < end:
            seed = seeds[request % len(seeds)]
            request += 1
            start = time.monotonic()
            try:
                images, _ = client.predict(label_map=handle_file(user.label_map), seed=seed, api_name="/generate")
                latency = time.monotonic() - start
                with Image.open(images[0]) as image:
                    is_right = len(images) == 1 and np.array_equal(np.asarray(image), user.expected[seed])
                Path(images[0]).unlink()
            except Exception as error:  # as above
                with lock:
                    tally.errors[_words(error)] += 1
                time.sleep(0.5)  # nobody clicks faster
                continue
            with lock:
                tally.wrong += not is_right
                if is_right:
                    tally.latencies.append(latency)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def tiny_checkpoint(folder: Path) -> Path:
    """A random generator for 32x64 pixels, as the tests use it: what is measured then is the server."""
    import torch

    from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig
    from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
    from dpsims_hf.hub import save_model_folder

    torch.manual_seed(0)
    config = DPSIMSGeneratorConfig.from_preset(
        "tiny", num_labels=None, id2label=SYNTHETIC_SPEC.id2label, void_label_id=SYNTHETIC_SPEC.void_label_id
    )
    processor = SYNTHETIC_SPEC.image_processor(size=config.image_size, size_divisor=config.size_divisor)
    return save_model_folder(folder / "tiny", DPSIMSGenerator(config).eval(), processor)


@contextmanager
def running_space(model: str) -> Iterator[tuple[str, psutil.Process]]:
    """`python app.py` in a process of its own: its address, and the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"GRADIO_TEMP_DIR": cache, "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [sys.executable, "app.py", "--model", model, "--server-port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            yield _wait_for(f"http://127.0.0.1:{port}/", server), psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url: str, server: subprocess.Popen) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urlopen(url, timeout=5):
                return url
        except OSError:
            time.sleep(0.5)
    code = server.poll()
    raise RuntimeError(
        f"the Space did not start within {START_SECONDS} seconds" if code is None else f"app.py ended with code {code}"
    )


def main() -> None:
    """Load the Space and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--walks", type=int, default=5, help="at a time, in the second part")
    parser.add_argument("--model", default=EMBEDDED, help='checkpoint folder, or "tiny" for a random one')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = str(tiny_checkpoint(folder)) if options.model == "tiny" else options.model
        users = make_users(load_model(source, source), max(options.users, options.walks + 1), folder)
        with running_space(source) as (url, server):
            strokes = strokes_beside_walks(url, users[0], users[1 : 1 + options.walks])
            tally = load(url, users[: options.users], options.seconds, lambda: server.memory_info().rss)
    print(strokes.report())
    print(f"{options.users} users for {tally.seconds:.0f} s, {options.model}")
    print(tally.report())


if __name__ == "__main__":
    main()
