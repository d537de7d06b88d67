"""
LanceDB: connections and tables, also the asynchronous ones; a search, however it is put together, is one call.

Frame ids are those of a column that is called ``id``.  Results that are Arrow
tables or data frames are stored as rows and their schema.  A recording has no
properties (``schema``, ``version``), batches and blobs; a play runs no
embedding function.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from replaykit.model import Structured
from replaykit.operations import Adapter, Chain, MethodMap, Operation

__all__ = ["ADAPTER"]

# -- results ------------------------------------------------------------------------


def _stored(result: Any) -> Any:
    """Return what is stored of a result: rows of tables and data frames, the figures of a write's report."""
    if isinstance(result, (list, tuple)):
        return [_stored(item) for item in result]
    library = type(result).__module__.partition(".")[0]
    if library == "pyarrow" and hasattr(result, "to_pylist"):
        return _rows_of(result, library)
    if library == "pandas":
        import pyarrow

        return _rows_of(pyarrow.Table.from_pandas(result), library)
    if library == "polars":
        return _rows_of(result.to_arrow(), library)
    if library == "pyarrow" and hasattr(result, "serialize"):
        return {"schema": result.serialize().to_pybytes()}
    # What comes from Rust says that its class is a builtin.
    if library == "builtins" and not hasattr(builtins, type(result).__name__) and result is not None:
        return _figures(result)
    return result


def _rows_of(table: Any, library: str) -> dict[str, Any]:
    return {"rows": table.to_pylist(), "schema": table.schema.serialize().to_pybytes(), "library": library}


def _figures(result: Any) -> Structured:
    names = [name for name in dir(result) if not name.startswith("_")]
    values = {name: getattr(result, name) for name in names}
    plain = {name: value for name, value in values.items() if not callable(value)}
    return Structured(f"lancedb.{type(result).__name__}", plain)


def _restored(value: Any) -> Any:
    """Return a stored table, data frame or schema as it was; anything else as it is stored."""
    if not isinstance(value, dict) or not isinstance(value.get("schema"), bytes):
        return value
    import pyarrow

    schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(value["schema"]))
    if "rows" not in value:
        return schema
    table = pyarrow.Table.from_pylist(value["rows"], schema=schema)
    if value.get("library") == "polars":
        import polars

        return polars.from_arrow(table)
    return table.to_pandas() if value.get("library") == "pandas" else table


def _name_of(table: Any) -> dict[str, str]:
    return {"name": table.name}


def _detached(class_name: str) -> Callable[[Any], Any]:
    """Return a ``thaw`` that gives a table with nothing behind it: a play answers its recorded calls."""

    def thaw(value: Any) -> Any:
        import lancedb.table

        base = getattr(lancedb.table, class_name)
        made: Any = object.__new__(type(class_name, (base,), {"name": value["name"]}))
        vars(made).update(_table=None, _inner=None, _conn=None)
        return made

    return thaw


# -- rows ---------------------------------------------------------------------------

# SQL and names of tables are neither query, content nor id.
_NOWHERE = "arguments.none"


def _row(kind: str, **places: Any) -> Operation:
    return Operation(kind=kind, freeze=_stored, thaw=_restored, **places)


def _each(names: str, row: str | Operation) -> dict[str, str | Operation]:
    return dict.fromkeys(names.split(), row)


_FOUND = _row(
    "find",
    query="arguments.nearest_to_text | arguments.text | arguments.query.query | arguments.query",
    k="arguments.limit",
    mode="arguments.query_type",
    ids="result.rows.*.id | result.*.id",
)

_SEARCH = Chain(
    ends={
        **_each("to_list to_arrow to_pandas to_df to_polars to_pydantic", _FOUND),
        **_each("explain_plan analyze_plan output_schema", _row("tool")),
    },
    steps=(
        "limit offset select where with_row_id with_row_address with_fragments fragment_ids use_lsm order_by vector "
        "text rerank metric distance_type nprobes minimum_nprobes maximum_nprobes distance_range ef refine_factor "
        "bypass_vector_index fast_search phrase_query postfilter column"
    ),
    forks="nearest_to nearest_to_text",
    ignored="to_query_object get_query",
)

_MERGE = Chain(
    ends={
        "execute": _row(
            "put_many", ids="arguments.execute.*.id | arguments.execute.args.0.*.id | arguments.execute.new_data.*.id"
        )
    },
    steps=(
        "when_matched_update_all when_not_matched_insert_all when_not_matched_by_source_delete use_index use_lsm "
        "validate_single_shard"
    ),
)


def _table(class_name: str) -> MethodMap:
    return MethodMap(
        operations={
            "add": _row("put_many", ids="arguments.data.*.id"),
            "update": _row("update", content=_NOWHERE, ids=_NOWHERE),
            "delete": _row("delete", content=_NOWHERE, ids=_NOWHERE),
            **_each("count_rows __len__", _row("find", query=_NOWHERE, count="result", ids=_NOWHERE)),
            **_each("head to_arrow to_pandas", _row("find", query=_NOWHERE, ids="result.rows.*.id")),
            **_each(
                "add_columns alter_columns drop_columns create_index create_scalar_index create_fts_index drop_index "
                "list_indices index_stats wait_for_index prewarm_index optimize compact_files cleanup_old_versions "
                "checkout checkout_latest restore list_versions schema version stats merge tokenize uri",
                _row("tool"),
            ),
        },
        chains={
            **dict.fromkeys(("search", "query", "vector_search", "take_offsets", "take_row_ids"), _SEARCH),
            "merge_insert": _MERGE,
        },
        derives="tags branches",
        settings="name",
        ignored="create open from_inner current_branch close is_open infer_tokenizer_configs embedding_functions",
    )


def _connection(class_name: str) -> MethodMap:
    opened = Operation(
        kind="tool", derives=True, freeze=_name_of, thaw=_detached(class_name), ids="arguments.data.*.id"
    )
    return MethodMap(
        operations={
            **_each("create_table open_table clone_table __getitem__", opened),
            **_each(
                "table_names list_tables table_exists drop_table drop_all_tables drop_database rename_table "
                "create_namespace drop_namespace list_namespaces describe_namespace namespace_exists __len__ "
                "__contains__",
                _row("tool"),
            ),
        },
        ignored="serialize from_inner namespace_client close is_open get_read_consistency_interval",
    )


def _versions(class_name: str) -> MethodMap:
    """Return the map of tags or branches; these give out tables."""
    opened = Operation(kind="tool", derives=True, freeze=_name_of, thaw=_detached(class_name))
    tags = not class_name
    return MethodMap(
        operations={
            **_each("list delete get_version update", _row("tool")),
            **_each("create checkout", _row("tool") if tags else opened),
        }
    )


ADAPTER = Adapter(
    classes={
        "lancedb.db.DBConnection": _connection("LanceTable"),
        "lancedb.db.AsyncConnection": _connection("AsyncTable"),
        "lancedb.table.Table": _table("LanceTable"),
        "lancedb.table.AsyncTable": _table("AsyncTable"),
        "lancedb.table.Tags": _versions(""),
        "lancedb.table.AsyncTags": _versions(""),
        "lancedb.table.Branches": _versions("LanceTable"),
        "lancedb.table.AsyncBranches": _versions("AsyncTable"),
    }
)
