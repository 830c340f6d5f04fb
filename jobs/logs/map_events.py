"""Rows of a mapped log's files -> raw events: one event of a row, several, or none."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.logs.columns_config import EVENT_TYPES, EventTypeColumn
from jobs.logs.config import EventsMapping
from jobs.logs.conversions import DROPPED, to_utc
from jobs.logs.file_schemas import Kinds
from jobs.logs.judge_events import raw_event_columns
from jobs.logs.map_columns import SourceRows, choose, convert_columns
from jobs.logs.read_files import FILE, LANDING_DAY


def map_events(rows: DataFrame, kinds: Kinds, mappings: Sequence[EventsMapping], time_zone: str) -> DataFrame:
    """Raw events of files by all mappings of theirs."""
    source = SourceRows(rows, kinds, mappings, time_zone)
    converted = _add_event(source, convert_columns(source, mappings), mappings)
    events = [_raw_event(mapping, number, time_zone) for number, mapping in enumerate(mappings)]
    return converted.select(raw_event_columns(choose(events)))


def _add_event(source: SourceRows, rows: DataFrame, mappings: Sequence[EventsMapping]) -> DataFrame:
    """Adds `_event` and gives a row for each event that a row makes, or one without it if it makes none.

    What is wrong with a row as a whole is told once, whatever its events.
    """
    given = [{"_events": F.array(*[_event(source, of) for of in mapping.event_type])} for mapping in mappings]
    rows = rows.withColumns(choose(given))
    if not any(mapping.gives_several or mapping.event_type[0].may_drop for mapping in mappings):
        return rows.withColumn("_event", F.col("_events")[0])
    made = F.filter("_events", lambda event: ~event["is_dropped"])
    is_told_once = F.col("_is_filtered") | F.col("_fault").isNotNull()
    return rows.withColumn(
        "_event", F.explode_outer(F.when(is_told_once, F.slice("_events", 1, 1)).otherwise(made))
    )


def _event(source: SourceRows, mapped: EventTypeColumn) -> Column:
    found = source.value(mapped)
    is_unknown = F.lit(False)
    if mapped.column:
        is_unknown = source.present(mapped.column).isNotNull() & found.isNull()
    return F.struct(
        F.when(found != DROPPED, found).alias("type"),
        F.when(is_unknown, "event_type is unknown").alias("fault"),
        F.coalesce(found == DROPPED, F.lit(False)).alias("is_dropped"),
    )


def _raw_event(mapping: EventsMapping, number: int, time_zone: str) -> dict[str, Column]:
    """A purchase is of one unit where the log does not say; a line is worth price x quantity."""
    names = dict.fromkeys(name.partition(".")[0] for name, _ in mapping.columns())
    given = {name: F.col(name) for name in names if name != "event_type"}
    event_type = F.col("_event")["type"]
    is_purchase = event_type == "purchase"
    quantity = given.get("quantity", F.when(is_purchase, 1))
    if "value" not in given and "price" in given:
        is_line = is_purchase
        if mapping.quantity:
            is_line |= ~event_type.isin(*EVENT_TYPES)
        given["value"] = F.when(is_line, F.try_multiply(given["price"], quantity))
    event_id = given.get("event_id", F.col("_hash"))
    if number and mapping.event_id:
        event_id = F.concat(event_id, F.lit(f"#{number}"))
    if mapping.gives_several:
        event_id = F.concat(event_id, F.lit(":"), F.coalesce(event_type, F.lit("")))
    landed_at = to_utc(F.col(LANDING_DAY).cast("timestamp"), time_zone)
    return {
        **given,
        "event_id": event_id,
        "event_type": event_type,
        "quantity": quantity,
        "ingested_at": F.coalesce(
            given.get("ingested_at", F.lit(None)), F.greatest("event_time", landed_at)
        ),
        "landing_day": F.col(LANDING_DAY),
        "source": F.lit(mapping.files.path),
        "file": F.col(FILE),
        "row": F.col("_row"),
        "fault": F.coalesce("_fault", F.col("_event")["fault"]),
        "needs_item": F.lit(None if mapping.item_id else False).cast("boolean"),
        "is_filtered": F.col("_is_filtered") | F.col("_event").isNull(),
        "is_rounded": F.col("_is_rounded"),
    }  # fmt: skip
