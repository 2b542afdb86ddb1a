"""A server that does not answer costs seconds, not minutes, and no run."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from un_lightning.config import LoggerConfig, WandbMode
from un_lightning.errors import UserError
from un_lightning.tracking import server
from un_lightning.tracking.logger import finish, make_logger


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self):  # noqa: N802 - the library's name
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(params=["nobody listens", "silence", "no name"])
def dead(request):
    """Addresses of servers that are not to be had."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "silence":
            listener.listen()
        name = "nowhere.invalid" if request.param == "no name" else "127.0.0.1"
        yield f"http://{name}:{listener.getsockname()[1]}"


def start(folder, mode, monkeypatch, address):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setattr(server, "SECONDS", 0.3)
    config = LoggerConfig(mode=WandbMode(mode))
    return make_logger(config, folder, group="g", job_type="j", name="n", run_config={})


def test_auto_records_offline_with_one_line(tmp_path, dead, monkeypatch, capfd):
    logger = start(tmp_path, "auto", monkeypatch, dead)
    finish(logger, 0)
    printed = capfd.readouterr()
    (line,) = [line for line in printed.out.splitlines() if line]
    assert line.startswith(f"W&B: {dead} ")
    assert "so the run is recorded offline; upload it with: wandb sync" in line
    assert [*tmp_path.glob("wandb/offline-run-*")]


def test_online_is_refused_in_seconds(tmp_path, dead, monkeypatch):
    with pytest.raises(UserError, match=r"W&B does not start: http.*logger.mode=offline needs"):
        start(tmp_path, "online", monkeypatch, dead)


def test_any_answer_is_an_answer(monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Refusing) as there:
        thread = threading.Thread(target=there.handle_request, daemon=True)
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{there.server_port}")
        assert server.why_unreachable() is None
        thread.join()
