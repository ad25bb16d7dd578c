# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A page with the drawn model, as strangers meet it."""

from collections.abc import Iterator

import pytest
from drawn_model import drawn_model

from dpsims_hf.demo import build_demo, launch_options
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.demo.server.page import Page


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return drawn_model()


@pytest.fixture(scope="module")
def page(model) -> Iterator[Page]:
    demo = build_demo(ModelLibrary(model, local_folders=False))
    demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    yield demo
    demo.close()


@pytest.fixture
def url(page) -> str:
    return page.local_url.rstrip("/")
