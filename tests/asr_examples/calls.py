"""Tables of calls for tests of the report."""

from __future__ import annotations

from typing import Any

from asr_examples.call_tables import COLUMNS

Tables = dict[str, list[dict[str, Any]]]

HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>&amp;"
LONG = "Donaudampfschifffahrtsgesellschaft" * 8
TURN_MS = 5000


def call(tables: Tables, call_id: str, said: tuple[tuple[str, str, float | None], ...] = (), **values: Any) -> None:
    """Add a call, in which each turn takes five seconds: speaker, text, sentiment."""
    talk_s = len(said) * TURN_MS / 1000
    speakers = sorted({speaker for speaker, _, _ in said})
    row: dict[str, Any] = dict.fromkeys(COLUMNS["calls"])
    row |= {"call_id": call_id, "file": f"{call_id}.wav", "audio": f"/calls/{call_id}.wav", "status": "completed"}
    row |= {"duration_s": talk_s + 5, "talk_s": talk_s, "silence_s": 5.0, "overlap_s": 0.0, "turns": len(said)}
    row |= {"words": len(said) * 3, "language_code": "en_us"}
    if said:
        row |= {"confidence": 0.9, "sentiment": 0.1}
    row |= values
    tables["calls"].append(row)
    for speaker in speakers:
        own = [each for each in said if each[0] == speaker]
        own_s = len(own) * TURN_MS / 1000
        values = {"talk_s": own_s, "share": own_s / talk_s, "turns": len(own), "words": len(own) * 3, "sentiment": None}
        tables["speakers"].append({"call_id": call_id, "speaker": speaker, **values})
    for number, (speaker, text, sentiment) in enumerate(said, start=1):
        times = {"start_ms": (number - 1) * TURN_MS, "end_ms": number * TURN_MS}
        heard = {"words": 3, "confidence": 0.9, "sentiment": sentiment, "text": text}
        tables["turns"].append({"call_id": call_id, "turn": number, "speaker": speaker, **times, **heard})


def failed(tables: Tables, call_id: str, error: str | None, **values: Any) -> None:
    """Add a recording that has no transcript."""
    row = {"call_id": call_id, "file": f"{call_id}.wav", "audio": f"/calls/{call_id}.wav", "status": "failed"}
    tables["calls"].append({**dict.fromkeys(COLUMNS["calls"]), **row, "error": error, **values})


def phrase(tables: Tables, call_id: str, text: str, mentions: int = 1) -> None:
    """Add a phrase."""
    tables["phrases"].append({"call_id": call_id, "phrase": text, "score": 0.5, "mentions": mentions})


def doubtful(tables: Tables, call_id: str, speaker: str, start_ms: int, confidence: float, text: str) -> None:
    """Add a passage that was hardly understood."""
    number = 1 + sum(row["call_id"] == call_id for row in tables["doubtful"])
    times = {"start_ms": start_ms, "end_ms": start_ms + 900, "confidence": confidence}
    tables["doubtful"].append({"call_id": call_id, "passage": number, "speaker": speaker, "text": text, **times})


def no_calls() -> Tables:
    """Return empty tables."""
    return {table: [] for table in COLUMNS}


def a_morning() -> Tables:
    """Return what a team lead may find in the morning: good calls, a silent one and failures."""
    tables = no_calls()
    failed(tables, "broken", "Transcoding failed.\nIt was not charged.")
    call(
        tables,
        "parcel",
        (
            ("agent", "Good morning, how can I help?", 0.4),
            ("customer", "You missed me. That is bad.", -0.6),
            ("agent", "I am sorry about the parcel.", 0.0),
        ),
        confidence=0.95,
    )
    call(tables, "hotel", (("agent", "Front desk.", None), ("customer", "My room is cold.", None)), language_code="de")
    call(tables, "silent")
    phrase(tables, "parcel", "room", 1)
    phrase(tables, "hotel", "Room", 2)
    phrase(tables, "parcel", "parcel", 2)
    doubtful(tables, "parcel", "customer", 6200, 0.41, "You missed me.")
    doubtful(tables, "hotel", "agent", 300, 0.22, "Front desk.")
    return tables


def hostile_calls() -> Tables:
    """Return text that was never meant for a page, in every column that holds any."""
    tables = no_calls()
    names = ("agent", HOSTILE, "שלום עולם", "🙂🙃 customer", LONG, "sixth", "seventh")
    texts = (HOSTILE, LONG, "مرحبا بالعالم \u202e hidden", "👩‍👩‍👧‍👦 \x00 \ud83d", "")
    said = tuple((names[n % len(names)], texts[n % len(texts)], (None, -1.0, 1.0, 0.0)[n % 4]) for n in range(21))
    call(tables, HOSTILE, said, file=HOSTILE, audio=HOSTILE, language_code='en"><script>', overlap_s=4.0)
    call(tables, "long", file=f"{LONG}.wav", duration_s=14_400.0, silence_s=14_400.0)
    call(tables, "unknown", (), **dict.fromkeys(COLUMNS["calls"][6:]))
    failed(tables, "no-reason", None, file=LONG)
    failed(tables, "reason", f"{HOSTILE}\n{LONG}")
    for text in texts[:4]:
        phrase(tables, HOSTILE, text)
        doubtful(tables, HOSTILE, HOSTILE, TURN_MS, 0.3, text)
    return tables


def many_calls(number: int = 500, turns: int = 4) -> Tables:
    """Return calls that get better from one to the next."""
    tables = no_calls()
    said = tuple((("agent", "customer")[n % 2], "Hello there.", 0.0) for n in range(turns))
    for n in range(number):
        call(tables, f"call-{n:03}", said, sentiment=n / number)
        phrase(tables, f"call-{n:03}", "hello")
    return tables
