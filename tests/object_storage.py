"""Storage that speaks S3, in this process, on a free port of the loopback interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

BUCKET = "recordings"
REGION = "us-east-1"  # Where a client signs by the old method unless it is told otherwise.


class ObjectStorage:
    """A server with one bucket; each of them is empty at the start."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    def __enter__(self) -> ObjectStorage:
        self._server.start()
        _, port = self._server.get_host_and_port()
        self.url = f"http://127.0.0.1:{port}"
        self._moto("reset")  # Servers of one process share what is in them.
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test-key",
            aws_secret_access_key="test-secret-key",
        )
        self.client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.stop()

    def connection(self, key: str = "test-key", secret: str = "test-secret-key") -> str:
        """Return an Airflow Connection to it, as JSON."""
        extra = {"endpoint_url": self.url, "region_name": REGION}
        return json.dumps({"conn_type": "aws", "login": key, "password": secret, "extra": extra})

    def put(self, key: str, data: bytes) -> None:
        """Put an object into the bucket."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """Return an object."""
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the objects."""
        pages: Any = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    @contextmanager
    def strict(self) -> Iterator[None]:
        """Let nobody in meanwhile: no key has a right to anything."""
        self._authorise_after("0")
        try:
            yield
        finally:
            self._authorise_after("inf")

    def _authorise_after(self, requests_left: str) -> None:
        self._moto("reset-auth", requests_left)

    def _moto(self, action: str, data: str | None = None) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.url}/moto-api/{action}", data=data, timeout=10).raise_for_status()
