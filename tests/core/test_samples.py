from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tmca_core.errors import SampleDataError
from tmca_core.samples import SAMPLES, fetch_sample

CONTENT = b"a radiograph"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server on this machine in the place of the public one, and a cache of its own."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / SAMPLES["infiltrates"].file).write_bytes(CONTENT)
    monkeypatch.setattr("tmca_core.samples.user_cache_path", lambda name: tmp_path / "cache")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_sample_is_fetched_once_and_checked(served, tmp_path, monkeypatch):
    known = replace(SAMPLES["infiltrates"], sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(SAMPLES, "infiltrates", known)
    path = fetch_sample("infiltrates", base_url=served)
    assert path.read_bytes() == CONTENT
    assert path.parent == tmp_path / "cache"
    assert fetch_sample("infiltrates", base_url="http://127.0.0.1:9/") == path


def test_another_file_in_its_place_is_refused_and_not_kept(served, tmp_path):
    with pytest.raises(SampleDataError, match="sha256 differs"):
        fetch_sample("infiltrates", base_url=served)
    assert not list((tmp_path / "cache").glob("*.jpg"))


def test_offline_is_one_clear_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("tmca_core.samples.user_cache_path", lambda name: tmp_path / "cache")
    with pytest.raises(SampleDataError, match=r"could not be downloaded.*digital phantom"):
        fetch_sample("unremarkable", base_url="http://127.0.0.1:9/")


def test_an_unknown_sample_lists_the_known_ones():
    with pytest.raises(SampleDataError, match="expected one of unremarkable, infiltrates, worsening"):
        fetch_sample("other")


def test_every_sample_names_its_licence_and_source():
    assert all(sample.licence == "CC BY 4.0" and sample.doi and len(sample.sha256) == 64 for sample in SAMPLES.values())
