# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Open the page: `dpsims-demo`, or `python app.py` in a clone of the repository.

python app.py [--model PATH_OR_REPO] [--share] [--server-port N] [--server-name NAME] [--max-image-seconds N] ...

Without --model it opens on the model named by the environment variable DPSIMS_MODEL, or else on the checkpoint that is
part of the repository, and downloads nothing. A wheel holds no checkpoint.
"""

import argparse
import atexit
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..commands import needs


PROXIES = "FORWARDED_ALLOW_IPS"  # read by uvicorn
ROOT = Path(__file__).resolve().parents[2]  # in a clone; checkpoints lie beside the package
EMBEDDED_CHECKPOINT = ROOT / "checkpoints" / "dpsims-labelme-small"
MAX_FILES = 65_536  # files and connections that the page has open
LIMITS = {
    "request_seconds": "seconds that one request may compute",
    "image_seconds": "seconds that one image may take",
    "image_pixels": "pixels of one image",
    "evaluation_seconds": "seconds that an evaluation may compute",
    "model_bytes": "bytes of a model that a visitor names",
    "downloaded_bytes": "bytes of all models that visitors name",
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line -> options."""
    parser = argparse.ArgumentParser(description="Semantic image synthesis in the browser.")
    model = os.environ.get("DPSIMS_MODEL") or str(EMBEDDED_CHECKPOINT)
    parser.add_argument("--model", default=model, help="checkpoint folder or Hub repository (default: $DPSIMS_MODEL)")
    parser.add_argument(
        "--backend",
        choices=("torch", "onnx"),
        default="torch",
        help="what the model that the page opens with runs by; onnx: onnxruntime, on the CPU, images equal to 1e-4",
    )
    parser.add_argument("--share", action="store_true", help="a public link through gradio's server")
    parser.add_argument("--server-port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--server-name", help='address to listen on; "0.0.0.0" for the whole network, a public page')
    proxies = (
        "addresses or networks, by commas, of the proxies in front of the page, whose X-Forwarded-For is believed"
    )
    parser.add_argument("--trusted-proxies", metavar="LIST", help=f"{proxies} (default: ${PROXIES}, else nobody's)")
    for name, meaning in LIMITS.items():
        flag, variable = "--max-" + name.replace("_", "-"), f"DPSIMS_MAX_{name.upper()}"
        parser.add_argument(flag, metavar="N", help=f"{meaning}; 1e6 is a number too (default: ${variable})")
    return parser.parse_args(arguments)


def is_public(options: argparse.Namespace) -> bool:
    """Whether others than the users of this machine can open the page: a share link, a Space, a network or a proxy."""
    hosting = ("SPACE_ID", "GRADIO_ROOT_PATH", PROXIES)
    proxied = options.trusted_proxies or any(os.environ.get(name) for name in hosting)
    return bool(is_shared(options) or proxied or not is_loopback(server_name(options)))


def is_shared(options: argparse.Namespace) -> bool:
    """Whether gradio makes a public link."""
    return options.share or os.environ.get("GRADIO_SHARE", "").lower() == "true"


def server_name(options: argparse.Namespace) -> str:
    """The address that the server will listen on."""
    return options.server_name or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"


def is_loopback(name: str) -> bool:
    """Whether only this machine reaches an address; a host name other than localhost can be anything."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def check_port(name: str, port: int | None) -> None:
    """Raise a ValueError if there is no such port or address here, or another program listens there."""
    if port is None:
        return
    if not 1 <= port <= 65535:
        raise ValueError(f"--server-port {port} is out of range: choose one of 1..65535")
    host = name.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"{name}, port {port}: {reason}; choose another --server-port or --server-name") from None


def check_proxies(text: str | None) -> None:
    """Raise a ValueError unless these are addresses or networks; "*" would believe what visitors write themselves."""
    for part in () if text is None else text.split(","):
        try:
            ipaddress.ip_network(part.strip())
        except ValueError:
            raise ValueError(
                f"--trusted-proxies: {part.strip()[:60]!r} is neither an address nor a network; name the proxies, as "
                "in 127.0.0.1,10.0.0.0/8"
            ) from None


def make_upload_folder() -> None:
    """A folder of this process alone for uploads and results, unless the owner named one.

    Raises:
        ValueError: no file can be written there; one line with the remedy.
    """
    folder = os.environ.get("GRADIO_TEMP_DIR")
    try:
        if not folder:  # gradio's default folder belongs to the first user of this machine who started a page
            folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="dpsims_space_")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        place = f"GRADIO_TEMP_DIR={folder}" if folder else tempfile.gettempdir()
        raise ValueError(
            f"{place}: no upload can be written there ({error.strerror or error}); set GRADIO_TEMP_DIR to a folder of "
            "your own"
        ) from None


def allow_connections() -> None:
    """Let this process have as many connections as it may: who opens a thousand must not be the last visitor."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        most = MAX_FILES if most == resource.RLIM_INFINITY else min(most, MAX_FILES)
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    except (ImportError, OSError, ValueError):  # Windows has none
        return


def load_library(model: str, public: bool = False, backend: str = "torch") -> Any:
    """Load a checkpoint folder or Hub repository, on the GPU if there is one.

    Args:
        model: what the page opens with.
        public: whether the page is public; visitors then cannot name folders of this machine.
        backend: "torch" or "onnx", of the model that the page opens with.

    Raises:
        ValueError: there is no such checkpoint; one line with the remedy.
    """
    if Path(model) == EMBEDDED_CHECKPOINT and not EMBEDDED_CHECKPOINT.is_dir():
        place = EMBEDDED_CHECKPOINT.relative_to(ROOT)
        raise ValueError(
            f"the embedded checkpoint {place} is missing (an installed package has none); restore it, or name another "
            "with --model PATH_OR_REPO"
        )
    import torch

    from .models.budget import budget_from_environment
    from .models.library import ModelLibrary, check_image_size, load_model

    budget_from_environment()  # a wrong number shows before anything is loaded
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(model).resolve()
    name = path.relative_to(ROOT).as_posix() if path.is_dir() and path.is_relative_to(ROOT) else model
    if public and path.is_dir():  # visitors do not learn where it lies
        name = name if path.is_relative_to(ROOT) else path.name
    default = load_model(name, model, "cpu" if backend == "onnx" else device, backend=backend)
    check_image_size(default)
    return ModelLibrary(default, EMBEDDED_CHECKPOINT.parent, local_folders=not public, device=device)


@needs("demo")
def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and serve the page until interrupted."""
    options = parse_arguments(arguments)
    if find_spec("gradio") is None:  # before a model is loaded for nothing
        raise ModuleNotFoundError("gradio is not installed", name="gradio")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    for name in LIMITS:
        value = getattr(options, f"max_{name}")
        if value is not None:
            os.environ[f"DPSIMS_MAX_{name.upper()}"] = value
    try:
        check_proxies(options.trusted_proxies)
        if options.trusted_proxies:
            os.environ[PROXIES] = options.trusted_proxies
        make_upload_folder()
        allow_connections()
        check_port(server_name(options), options.server_port)
        library = load_library(options.model, public=is_public(options), backend=options.backend)
    except (ValueError, OSError) as error:
        sys.exit(f"app.py: {' '.join(str(error).split())}")

    from . import build_demo, launch_options

    page = build_demo(library)
    address = {"server_name": server_name(options), "server_port": options.server_port}
    try:
        page.launch(share=is_shared(options), **address, **launch_options())
    except (OSError, ValueError) as error:  # no free port, an address that is not this machine's
        reason = " ".join(str(error).split()).split(". ")[0]
        sys.exit(f"app.py: the page cannot be opened ({reason}); choose another --server-port or --server-name")
