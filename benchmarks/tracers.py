"""Tracers, each set up as its own manual says: OpenTelemetry, logfire, langfuse, langsmith, mlflow."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from running import Call, Calls, Running, whole_calls

__all__ = ["Langfuse", "Langsmith", "Logfire", "Mlflow", "OpenTelemetry", "kept_by_mlflow"]


class OpenTelemetry(Running):
    """A span per call with arguments and result as JSON, in a file of JSON lines."""

    def __init__(self, folder: Path, url: str, calls: Calls, *, is_batched: bool) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._file, exporter = _json_lines(folder / "spans.jsonl")
        # With the default queue of 2,048 spans a hot loop drops most of them.
        batched = BatchSpanProcessor(exporter, max_queue_size=1 << 16) if is_batched else None
        self._provider = TracerProvider()
        self._provider.add_span_processor(batched or SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("benchmark")
        super().__init__({name: self._traced(function) for name, function in calls.items()})

    def _traced(self, function: Call) -> Call:
        tracer, name = self._tracer, function.__name__

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("input", json.dumps([args, kwargs]))
                result = function(*args, **kwargs)
                span.set_attribute("output", json.dumps(result))
                return result

        return call

    def drain(self) -> None:
        self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()
        self._file.close()


def _json_lines(path: Path) -> tuple[Any, Any]:
    """Return a file and the exporter into it, which flushes each batch."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    file = open(path, "w")  # noqa: SIM115 - closed by the recorder
    return file, ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")


class Logfire(Running):
    """Decorated functions, spans in batches into a file of JSON lines; scrubbing as it comes."""

    def __init__(self, folder: Path, url: str, calls: Calls) -> None:
        import logfire
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._file, exporter = _json_lines(folder / "spans.jsonl")
        processor = BatchSpanProcessor(exporter, max_queue_size=1 << 16)
        self._logfire = logfire.configure(
            local=True,
            send_to_logfire=False,
            console=False,
            metrics=False,
            additional_span_processors=[processor],
        )
        traced = self._logfire.instrument(record_return=True)
        super().__init__({name: traced(function) for name, function in calls.items()})

    def drain(self) -> None:
        self._logfire.force_flush()

    def close(self) -> None:
        self._logfire.shutdown()
        self._file.close()


class Langfuse(Running):
    """Decorated functions, spans in batches to the sink."""

    def __init__(self, folder: Path, url: str, calls: Calls) -> None:
        from langfuse import Langfuse as Client
        from langfuse import observe

        self._client = Client(public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", base_url=url)
        super().__init__({name: observe()(function) for name, function in calls.items()})

    def drain(self) -> None:
        self._client.flush()

    def close(self) -> None:
        self._client.shutdown()


class Langsmith(Running):
    """Decorated functions, runs in compressed batches to the sink."""

    def __init__(self, folder: Path, url: str, calls: Calls) -> None:
        from langsmith import Client, traceable

        self._client = Client(api_url=url, api_key="lsv2_benchmark")
        super().__init__({name: traceable(client=self._client)(function) for name, function in calls.items()})

    def drain(self) -> None:
        self._client.flush()

    def close(self) -> None:
        self._client.flush()
        self._client.cleanup()


def _again(text: str) -> str:
    return text


class Mlflow(Running):
    """Decorated functions, traces in an SQLite file: its file store is in maintenance mode."""

    def __init__(self, folder: Path, url: str, calls: Calls, *, is_async: bool) -> None:
        import mlflow

        self._mlflow, self._is_async = mlflow, is_async
        self._uri = f"sqlite:///{folder / 'mlflow.db'}"
        mlflow.set_tracking_uri(self._uri)
        self._experiment = mlflow.create_experiment("benchmark", folder.as_uri())
        super().__init__({name: mlflow.trace(function) for name, function in calls.items()})

    def enter(self) -> None:
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = str(self._is_async).lower()
        self._mlflow.set_tracking_uri(self._uri)
        self._mlflow.set_experiment(experiment_id=self._experiment)
        self._mlflow.tracing.reset()
        # It is set up again by the first call.
        self._mlflow.trace(_again)("warm")
        self.drain()

    def drain(self) -> None:
        if self._is_async:
            self._mlflow.flush_trace_async_logging()


def kept_by_mlflow(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return whole_calls(content.encode() for (content,) in connection.execute("SELECT content FROM spans"))
