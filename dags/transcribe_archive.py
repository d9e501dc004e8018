"""An archive laid out by day becomes text by day: last night's every night, a year of it in one backfill.

The recordings of 1 September 2026 lie in the folder `2026-09-01` of the archive, on a disk that all workers share or in
object storage. Three DAGs take it from there:

- `transcribe_archive` has a run for each day, and in it one task for all recordings of the day. It runs at midnight
  (UTC) for the day that is over, and in a backfill for days of the past. Texts and a manifest go to a folder of the
  same name.
- `archive_day` follows each of them: words, minutes, languages and key phrases of the day, in `day.json` beside the
  texts.
- `archive_week` follows each of those: the days of a week that are there, put together in `weeks/`, under the Monday.

What is transcribed costs nothing again, whatever is run, cleared or backfilled once more; under another `config` it
does. A day without recordings is skipped.

Say where everything is, let all three run, and name the days:

    airflow variables set transcribe_archive '{"archive": "s3://conn@bucket/calls", "output_path": "s3://conn@bucket/text"}'
    airflow dags unpause --yes --treat-dag-id-as-regex '^(transcribe_archive|archive_day|archive_week)$'
    airflow backfill create --dag-id transcribe_archive --from-date 2026-09-01 --to-date 2026-09-30 --max-active-runs 4

The Variable also takes `config`, `limits`, `budget`, `max_failures` and `assemblyai_conn_id`, as the operator does.

**A pool for the account's concurrency.** `limits` hold for one day, and days run side by side. A pool holds for all
tasks in it, if it counts deferred ones: `airflow pools set assemblyai 4 'days at a time' --include-deferred`, then
`POOL = "assemblyai"` in this file and `"limits": {"max_in_flight": 50}` in the Variable: at most 4 * 50 jobs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    ObjectStoragePath,
    PartitionedAssetTimetable,
    StartOfWeekMapper,
    dag,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from asr_examples.archive import DAY_FORMAT, day_of, find_day, settings, week_of

from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy

POOL = "default_pool"
TRANSCRIPTS = Asset(name="archive_transcripts")
DAYS = Asset(name="archive_days")
COMMON: dict[str, Any] = {
    "default_args": {"retries": 2, "retry_delay": timedelta(seconds=30), "retry_policy": AssemblyAIRetryPolicy()},
    "tags": ["speech to text"],
    "doc_md": __doc__,
    "catchup": False,
}


@task(multiple_outputs=True)
def find() -> dict[str, Any]:
    """Return the operator's arguments for the day of this run. Nothing is touched if it is for no day."""
    try:
        day = day_of(get_current_context().get("partition_key"))
        wanted = settings()
        place = find_day(wanted.pop("archive"), day)
    except (FileNotFoundError, ValueError) as error:
        raise AirflowFailException(str(error)) from None
    if place.empty:
        raise AirflowSkipException(place.empty)
    return {"audio": place.folder, **wanted}


@dag(
    # At midnight: a backfill from one day to another would leave out the last if the hour were later.
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format=DAY_FORMAT),
    is_paused_upon_creation=True,  # Nothing is spent before somebody has said where the archive is.
    **COMMON,
)
def transcribe_archive() -> None:
    day: Any = find()
    AssemblyAITranscribeBatchOperator(
        task_id="transcribe",
        audio=day["audio"],
        output_path=day["output_path"],
        formats=("json", "txt"),
        config=day["config"],
        assemblyai_conn_id=day["assemblyai_conn_id"],
        limits=day["limits"],
        budget=day["budget"],
        max_failures=day["max_failures"],
        deferrable=True,
        pool=POOL,
        outlets=[TRANSCRIPTS],
    )


@task(outlets=[DAYS])
def describe_day() -> str:
    from asr_examples import archive_text

    from airflow_asr.jobs.files import write_file
    from airflow_asr.jobs.manifest import read_rows

    try:
        day = day_of(get_current_context().get("partition_key"))
        folder: Any = ObjectStoragePath(settings()["output_path"]) / str(day)
    except ValueError as error:
        raise AirflowFailException(str(error)) from None
    manifest = folder / "manifest.transcribe_archive.transcribe.jsonl"
    if not manifest.exists():
        raise AirflowFailException(f"{day} has no manifest in {folder}. Run transcribe_archive for it first.")
    described = archive_text.describe_day(day, read_rows(manifest))
    write_file(folder / archive_text.DAY_FILE, archive_text.as_file(described))
    print(f"{folder / archive_text.DAY_FILE}:", *archive_text.lines(described), sep="\n")
    return str(folder / archive_text.DAY_FILE)


@dag(schedule=PartitionedAssetTimetable(assets=TRANSCRIPTS), **COMMON)
def archive_day() -> None:
    describe_day()


@task
def describe_week() -> str:
    from asr_examples import archive_text

    from airflow_asr.jobs.files import write_file

    try:
        days = week_of(get_current_context().get("partition_key"))
        folder: Any = ObjectStoragePath(settings()["output_path"])
    except ValueError as error:
        raise AirflowFailException(str(error)) from None
    found = {day: archive_text.read_day(folder, day) for day in days}
    if not any(found.values()):
        raise AirflowFailException(f"There is no day of the week of {days[0]} in {folder}.")
    described = archive_text.describe_week(found)
    file = folder / "weeks" / f"{days[0]}.json"
    write_file(file, archive_text.as_file(described))
    print(f"{file}:", *archive_text.lines(described), f"Not there yet: {described['missing']}", sep="\n")
    return str(file)


@dag(
    # Not a RollupMapper: that waits for seven new days each time, and forever where nobody works on Sundays.
    schedule=PartitionedAssetTimetable(
        assets=DAYS,
        default_partition_mapper=StartOfWeekMapper(input_format=DAY_FORMAT, output_format=DAY_FORMAT),
    ),
    max_active_runs=1,  # Whoever reads last writes last.
    **COMMON,
)
def archive_week() -> None:
    describe_week()


transcribe_archive()
archive_day()
archive_week()
