"""A retry policy for tasks that talk to the service, with these operators or with the hook.

::

    DAG(..., default_args={"retries": 3, "retry_policy": AssemblyAIRetryPolicy()})
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_asr._airflow import ExceptionRetryPolicy, RetryDecision, RetryRule

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_asr.api.errors import AssemblyAIError

_SPREAD = random.SystemRandom()
_MOST_CAUSES = 20


class AssemblyAIRetryPolicy(ExceptionRetryPolicy):
    """Fails at once where a retry cannot help, waits as long as the service asks, and backs off while it is in trouble.

    ===================================================== =========================================================
    the key, the account, the request, the audio            fails at once, and keeps the retries for what they mend
    ``Retry-After`` (429)                                   waits for it, and a little longer
    the service or the way to it fails (5xx, resets)        waits ``base_s``, twice as long each time, up to ``cap_s``
    anything else                                           as the task's own ``retry_delay`` says
    ===================================================== =========================================================

    The task's ``retries`` limit all of them. A retry of an operator pays nothing: it finds the job of the try before.
    One of a ``@task`` that submits with the hook submits, and pays, again: submit in a task of its own, and give the id
    to the task that waits. Where a submission may have been accepted, the hook's error is one that fails at once.

    Args:
        rules: rules of your own, which come first.
        base_s: seconds before the first retry after a failure of the service.
        cap_s: the longest wait, in seconds.
    """

    def __init__(self, rules: Sequence[RetryRule] = (), *, base_s: float = 30.0, cap_s: float = 1800.0) -> None:
        super().__init__(rules=list(rules))
        if not 0 < base_s <= cap_s:
            raise ValueError(f"`base_s` is {base_s} and `cap_s` {cap_s}. Give seconds, with 0 < base_s <= cap_s.")
        self.base_s = base_s
        self.cap_s = cap_s

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return what to do after a failure. It runs on the worker."""
        if any(rule.matches(exception) for rule in self.rules):
            return super().evaluate(exception, try_number, max_tries, context)
        error = _error_of(exception)
        if error is None:
            return RetryDecision.default()
        if not error.retryable:
            return RetryDecision.fail(f"{error.kind}: {error}")
        if error.retry_after is not None:
            asked_s = min(max(error.retry_after, 0.0), self.cap_s)
            return _retry(asked_s + _SPREAD.uniform(0, min(self.base_s, self.cap_s - asked_s)), error)
        if error.kind == "service":
            step_s = min(self.base_s * 2.0 ** min(try_number - 1, 30), self.cap_s)
            # Tasks that failed together must not come back together.
            return _retry(_SPREAD.uniform(step_s / 2, step_s), error)
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the arguments."""
        rules = [rule.serialize() for rule in self.rules]
        return {"__type": type(self).__name__, "rules": rules, "base_s": self.base_s, "cap_s": self.cap_s}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> AssemblyAIRetryPolicy:
        """Return the policy that :meth:`serialize` described."""
        rules = [RetryRule.deserialize(rule) for rule in data["rules"]]
        return cls(rules, base_s=data["base_s"], cap_s=data["cap_s"])


def _retry(wait_s: float, error: AssemblyAIError) -> RetryDecision:
    return RetryDecision.retry(timedelta(seconds=wait_s), f"{error.kind}: {error}")


def _error_of(exception: BaseException) -> AssemblyAIError | None:
    """Return the error of ours that an exception is, or was raised for."""
    from airflow_asr.api.errors import AssemblyAIError

    cause: BaseException | None = exception
    for _ in range(_MOST_CAUSES):  # `raise error from error` is its own cause.
        if cause is None or isinstance(cause, AssemblyAIError):
            return cause
        cause = cause.__cause__
    return None
