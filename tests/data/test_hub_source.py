"""Streamed text, from a stand-in for the hub."""

import datasets
import pytest

from un_lightning.config import DataConfig, DataSource, Order, Part
from un_lightning.data.hub import Hub
from un_lightning.errors import UserError


RECORDS = [
    {"text": "one cat", "meta": {"pile_set_name": "Github"}},
    {"text": None, "meta": {"pile_set_name": "Github"}},
    {"text": "x", "meta": {"pile_set_name": "Books3"}},
    {"text": "two cats", "meta": {"pile_set_name": "Books3"}},
]


@pytest.fixture
def config():
    return DataConfig(
        source=DataSource.hub,
        path="owner/text",
        subset_name="en",
        split="test",
        revision="abc",
        subset_column="meta.pile_set_name",
        min_characters=3,
        order=Order.given,
    )


@pytest.fixture
def hub(monkeypatch):
    """Let `load_dataset` give these records, or fail with this error after them; notes its arguments."""

    def serve(records, error=None, at_once=False):
        asked = []

        def load_dataset(*args, **kwargs):
            asked.append((args, kwargs))
            if at_once:
                raise error
            return stream()

        def stream():
            yield from records
            if error is not None:
                raise error

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return serve


def test_documents_with_their_subsets(config, hub):
    asked = hub(RECORDS)
    source = Hub(config)
    assert [tuple(document) for document in source] == [
        ("owner/text/test#0", "one cat", "Github"),
        ("owner/text/test#3", "two cats", "Books3"),
    ]
    assert source.problems == {"broken": 1, "short": 1}
    assert asked == [(("owner/text", "en"), {"split": "test", "revision": "abc", "streaming": True})]


class StrangeError(Exception):
    """What comes from a library below that shares no base with the others."""


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "error", [ConnectionError("no route"), ValueError("no route"), StrangeError("no\nroute")]
)
def test_errors_name_the_dataset_and_a_way_out(config, hub, error, at_once):
    hub(RECORDS[:1], error, at_once)
    read = []
    with pytest.raises(UserError, match=r"data.path=owner/text \(split test\): no route\n.*data=files"):
        read.extend(Hub(config))
    assert len(read) == (0 if at_once else 1)


def test_an_error_of_the_reader_is_not_the_hubs(config, hub):
    hub(RECORDS)
    documents = iter(Hub(config))
    next(documents)
    with pytest.raises(ZeroDivisionError):
        documents.throw(ZeroDivisionError())


def test_the_fingerprint_has_all_that_the_text_depends_on(config):
    first = Hub(config).fingerprint()
    for key, value in (("split", "train"), ("revision", None), ("part", Part.train), ("text_column", "body")):
        assert Hub(DataConfig(**(vars(config) | {key: value}))).fingerprint() != first


def test_without_a_network_the_real_hub_says_so(config):
    with pytest.raises(UserError, match=r"cannot stream data.path=owner/text"):
        list(Hub(config))
