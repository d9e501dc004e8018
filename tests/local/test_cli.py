"""The command, and the server that tests get from it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from airflow_asr.local import cli
from airflow_asr.local.testing import LocalServer
from tests.local.http import Http


def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-m", "airflow_asr.local"]
    return subprocess.run(
        [sys.executable, *program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def runs(pid: int) -> bool:
    """Whether there is such a process; a zombie that its new parent has not noticed yet is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_help_is_quick() -> None:
    code = (
        "import sys; from airflow_asr.local.cli import main\n"
        "try: main(['serve', '--help'])\n"
        "finally: assert not {'fastapi', 'uvicorn', 'faster_whisper', 'requests', 'airflow'} & set(sys.modules)"
    )
    done = run(code=code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--data-dir" in done.stdout


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_what_to_install(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from airflow_asr.local.cli import main; "
        "sys.exit(main(['serve', '--engine', 'echo']))"
    )
    done = run(code=code)
    assert done.returncode == 1
    assert "pip install 'airflow-asr[local]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "70000"),
        ("--port", "x"),
        ("--concurrency", "0"),
        ("--engine", "ear"),
        ("--max-upload-bytes", "-1"),
        ("--echo-seconds", "nan"),
        ("--api-key", ""),
        ("--api-key", " a"),
    ],
)
def test_wrong_use(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["serve", *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_database_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "transcripts.sqlite3").write_text("not a database, but long enough to be taken for one" * 100)
    assert cli.main(["serve", "--engine", "echo", "--port", "0", "--data-dir", str(tmp_path)]) == 1
    assert "not a database" in capsys.readouterr().err


def test_model_for_the_echo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["serve", "--engine", "echo", "--model", "base", "--data-dir", str(tmp_path)]) == 1
    assert "--model" in capsys.readouterr().err


def test_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = run("serve", "--engine", "echo", "--data-dir", str(tmp_path), "--port", port)
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_directory_that_is_taken(serve: Callable[..., Http], tmp_path: Path) -> None:
    serve(data_dir=tmp_path)
    done = run("serve", "--engine", "echo", "--data-dir", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert f"Another server uses {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_it_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_asr.local", "serve", "--engine", "echo", "--port", "0"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "new")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[3]
        assert line == f"airflow-asr serving on {url} (engine echo, data in {tmp_path / 'new'})\n"
        assert requests.get(f"{url}/v2/transcript", headers={"Authorization": "local"}, timeout=30).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert process.wait(20) == 130
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_another_key(serve: Callable[..., Http]) -> None:
    http = serve(api_key="other")
    assert http.get("/v2/transcript").status_code == 200
    assert http.call("GET", "/v2/transcript", headers={"Authorization": "local"}).status_code == 401


def test_stop_does_not_wait_for_jobs(serve: Callable[..., Http]) -> None:
    http = serve(concurrency=1)
    http.say(process_s=60)
    http.say()
    begin = time.monotonic()
    http.server.stop()
    assert time.monotonic() - begin < 8
    assert "Traceback" not in http.server.log


class TestLocalServer:
    def test_data_is_removed(self) -> None:
        with LocalServer() as server:
            directory = server.data_dir
            assert directory.exists()
            pid = server.pid
        assert not directory.exists()
        assert pid is not None
        assert not runs(pid)
        server.stop()
        server.kill()

    def test_ends_with_a_test_that_is_killed(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from airflow_asr.local.testing import LocalServer\n"
            f"server = LocalServer(Path({str(tmp_path)!r})); server.start()\n"
            "print(server.pid, flush=True); os.kill(os.getpid(), 9)"
        )
        done = run(code=code)
        assert done.returncode == -signal.SIGKILL
        deadline = time.monotonic() + 20
        while runs(int(done.stdout)):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def test_start_that_fails(self, tmp_path: Path) -> None:
        server = LocalServer(tmp_path, options=["--no-such-option"])
        with pytest.raises(RuntimeError, match="--no-such-option"):
            server.start()
        assert server.pid is None
        with pytest.raises(RuntimeError, match="not been started"):
            _ = server.url

    def test_started_twice(self, serve: Callable[..., Http]) -> None:
        with pytest.raises(RuntimeError, match="runs already"):
            serve().server.start()

    def test_restart(self, serve: Callable[..., Http]) -> None:
        http = serve()
        before = (http.server.url, http.server.pid)
        transcript_id = http.heard()["id"]
        http.server.restart()
        assert http.server.url == before[0]
        assert http.server.pid != before[1]
        assert http.transcript(transcript_id)["text"] == "Hello there."

    @pytest.mark.parametrize("host", ["::1", "localhost"])
    def test_other_names_of_this_machine(self, tmp_path: Path, host: str) -> None:
        if host == "::1" and not os.path.exists("/proc/net/if_inet6"):
            pytest.skip("this machine has no IPv6")
        with LocalServer(tmp_path, options=["--host", host]) as server:
            url = server.log.split()[3]
            response = requests.get(f"{url}/v2/transcript", headers={"Authorization": "local"}, timeout=30)
            assert response.status_code == 200
            assert url in response.json()["page_details"]["current_url"]
