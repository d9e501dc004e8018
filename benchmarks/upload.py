"""Uploads a file that is larger than the memory an upload may take, and compares the speed with curl's.

The server is a process of its own that throws the bytes away. Each round is a fresh process too, so that its peak of
memory is that of one upload. Run it as ``python -m benchmarks.upload [--gib 2] [--rounds 5]``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, judge, peak_memory_mb, print_table, save, spread

MOST_MEMORY_MB = 32.0
LEAST_OF_CURL = 0.8
_MB = 1_000_000
_BLOCK = 1024 * 1024


def main() -> int:
    arguments = _arguments()
    size = int(arguments.gib * 1024**3)
    curl = shutil.which("curl")
    with tempfile.TemporaryDirectory() as folder, _sink() as url:
        audio = Path(folder) / "audio.bin"
        _write(audio, size)
        rounds = [_round(number, url, audio, size, curl) for number in range(arguments.rounds)]

    print_table(
        ["round", "MB/s", "curl MB/s", "ratio", "base MB", "peak MB", "difference MB"],
        [
            [
                number,
                f"{each['mb_per_s']:.0f}",
                f"{each['curl_mb_per_s']:.0f}" if curl else "no curl",
                f"{each['ratio']:.2f}" if curl else "-",
                each["base_mb"],
                each["peak_mb"],
                each["difference_mb"],
            ]
            for number, each in enumerate(rounds, 1)
        ],
    )
    fields = ["mb_per_s", "base_mb", "peak_mb", "difference_mb", *(["curl_mb_per_s", "ratio"] if curl else [])]
    summary = {field: spread([each[field] for each in rounds], 2) for field in fields}
    save("upload", {"gib": arguments.gib, "most_memory_mb": MOST_MEMORY_MB, "summary": summary, "rounds": rounds})

    passed = [judge("memory of an upload, MB, at most", [summary["difference_mb"]["max"]], most=MOST_MEMORY_MB)]
    if curl:
        passed.append(judge("speed against curl", [each["ratio"] for each in rounds], least=LEAST_OF_CURL))
    return 0 if all(passed) else 1


def _round(number: int, url: str, audio: Path, size: int, curl: str | None) -> dict[str, float]:
    """Measure both, one after the other; the one that is first changes from round to round."""
    results: dict[str, float] = {}
    for ours in (True, False) if number % 2 == 0 else (False, True):
        if ours:
            results |= _child("upload_and_report", url, str(audio))
        elif curl:
            results["curl_mb_per_s"] = size / _MB / _curl_s(curl, url, audio, size)
    if curl:
        results["ratio"] = results["mb_per_s"] / results["curl_mb_per_s"]
    return {field: round(value, 2) for field, value in results.items()}


def _curl_s(curl: str, url: str, audio: Path, size: int) -> float:
    """Upload with curl and return the seconds that it says it took, its start not counted."""
    command = [curl, "-q", "--silent", "--fail", "--noproxy", "*", "-X", "POST", "-T", str(audio), "-H", "Expect:"]
    command += ["--write-out", "\n%{time_total} %{size_upload}", f"{url}/v2/upload"]
    *_, last = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seconds, sent = last.split()
    if int(sent) != size:
        raise SystemExit(f"curl sent {sent} bytes of {size}")
    return float(seconds)


def upload_and_report(url: str, path: str) -> None:
    """Upload one byte, then the file, and print what it cost. Runs in a process of its own."""
    import io

    from airflow_asr.api.client import AssemblyAIClient

    with AssemblyAIClient("local", base_url=url) as client, open(path, "rb") as audio:
        client.upload(io.BytesIO(b"a"))  # All that is loaded at first use is loaded now.
        base_mb = peak_memory_mb()
        began = time.perf_counter()
        upload_url = client.upload(audio)
        took_s = time.perf_counter() - began
    peak_mb = peak_memory_mb()
    size = os.path.getsize(path)
    if not upload_url.endswith(f"/{size}"):
        raise SystemExit(f"Sent {size} bytes, and the server got {upload_url}")
    print(
        json.dumps(
            {
                "mb_per_s": size / _MB / took_s,
                "base_mb": base_mb,
                "peak_mb": peak_mb,
                "difference_mb": peak_mb - base_mb,
            }
        )
    )


def sink() -> None:
    """Serve uploads, one connection after another, and throw the bytes away. Runs in a process of its own."""
    buffer = memoryview(bytearray(4 * _BLOCK))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                while _swallow(connection, buffer):
                    pass


def _swallow(connection: socket.socket, buffer: memoryview) -> bool:
    """Answer one request with the number of bytes it had. False if there was none."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return False
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    size = int(headers[b"content-length"])
    got = len(body)
    while got < size:
        count = connection.recv_into(buffer)
        if not count:
            return False
        got += count
    reply = json.dumps({"upload_url": f"http://sink/{got}"}).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(reply), reply))
    return True


@contextmanager
def _sink() -> Iterator[str]:
    server = subprocess.Popen(_command("sink"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait()


def _child(function: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = _command(function, *arguments)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def _command(function: str, *arguments: str) -> list[str]:
    call = f"import sys; from benchmarks.upload import {function}; {function}(*sys.argv[1:])"
    return [sys.executable, "-c", call, *arguments]


def _write(path: Path, size: int) -> None:
    """Write a real file: the holes of a sparse one cost less to read on some file systems."""
    block = os.urandom(_BLOCK)
    with open(path, "wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(block[: size - start])
        file.flush()
        os.fsync(file.fileno())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upload", description=__doc__)
    parser.add_argument("--gib", type=float, default=2.0, help="size of the file, at least 0.25 (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="uploads to measure (default: 5)")
    arguments = parser.parse_args()
    if arguments.gib < 0.25:
        parser.error("--gib below 0.25 says nothing about memory: the file could be held whole and hardly show")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
