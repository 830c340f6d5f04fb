"""The tables that a behaviour log becomes (the data contract), whatever its source."""

from jobs.lake.columns import Column, Table

_BOOKS_DAY = (
    "event day; where it is not usable or the row came too late, the day it was learned, or the first"
)

EVENTS = Table(
    name="events",
    meaning="Everything users did, one row per event; money in minor units (cents).",
    ds_is="event day",
    key=("user_id", "event_time", "event_id"),
    columns=(
        Column("event_id", "string", "the source's own id, or a hash of the row"),
        Column("event_time", "timestamp", "when it happened (UTC)"),
        Column(
            "ingested_at",
            "timestamp",
            "when the log learned of it: a column, else the day it landed; else the event time",
        ),
        Column("user_id", "string", "who"),
        Column("item_id", "string", "what; null for events without an item"),
        Column(
            "event_type",
            "string",
            "impression, click, favorite, cart, purchase, rating, coupon_redeem, email_sent, or one of the "
            "log's own",
        ),
        Column("request_id", "string", "the basket or session it was part of"),
        Column("surface", "string", "where it was shown, if it was"),
        Column("position", "int", "the slot it was shown in, from 0"),
        Column("price", "long", "shelf price of one unit, cents"),
        Column("quantity", "long", "units; 0 is no purchase"),
        Column("value", "long", "what was charged for the line before coupons, cents"),
        Column("discount", "long", "loyalty and coupon discounts on the line, cents"),
        Column("rating", "double", "a rating, if the event is one"),
        Column("coupon_id", "string", "the coupon redeemed"),
        Column("query", "string", "the search that led to it"),
        Column("context", "map<string,string>", "whatever else the source says"),
    ),
)

ITEMS = Table(
    name="items",
    meaning="The catalogue.",
    ds_is="day from which the row is valid: the first day of the log where the source has no history",
    key=("item_id",),
    columns=(
        Column("item_id", "string", "the item"),
        Column("category_path", "list<string>", "categories from the widest to the narrowest"),
        Column("brand", "string", "brand"),
        Column("price", "long", "list price, cents"),
        Column("title", "string", "what a person would call it"),
        Column("attributes", "map<string,string>", "whatever else the source says"),
    ),
)

USERS = Table(
    name="users",
    meaning="What is known of users beside their events; many have no row.",
    ds_is="day from which the row is valid: the first day of the log where the source has no history",
    key=("user_id",),
    columns=(
        Column("user_id", "string", "the user"),
        Column("attributes", "map<string,string>", "demographics"),
    ),
)

PROMOTIONS = Table(
    name="promotions",
    meaning="What is promoted when: placements of items in shops and mailers, and coupons of campaigns.",
    ds_is="first day of validity",
    key=("item_id", "promotion_id", "coupon_id"),
    columns=(
        Column("promotion_id", "string", "the campaign, or the week of a placement"),
        Column("kind", "string", "placement or coupon"),
        Column("item_id", "string", "the promoted item"),
        Column("coupon_id", "string", "the coupon that is good for the item"),
        Column("display_share", "double", "share of shops that have the item on display"),
        Column("mailer_share", "double", "share of shops that have the item in their mailer"),
        Column("valid_from", "date", "first day"),
        Column("valid_to", "date", "last day"),
    ),
)

CAMPAIGN_MEMBERS = Table(
    name="campaign_members",
    meaning="Whom a campaign targeted.",
    ds_is="first day of the campaign",
    key=("user_id", "campaign_id"),
    columns=(
        Column("campaign_id", "string", "the campaign: a promotion_id of promotions"),
        Column("campaign_type", "string", "the kind of campaign"),
        Column("user_id", "string", "the user who got its coupons"),
        Column("valid_from", "date", "first day"),
        Column("valid_to", "date", "last day"),
    ),
)

QUARANTINE = Table(
    name="quarantine",
    meaning="Rows of the log that break the contract, each with the reason.",
    ds_is=_BOOKS_DAY,
    key=("source", "row"),
    columns=(
        Column("source", "string", "the file"),
        Column("row", "string", "the row as JSON"),
        Column("reason", "string", "which rule it breaks"),
    ),
)

INGEST_COUNTS = Table(
    name="ingest_counts",
    meaning="The books of ingestion, per source and day: read = kept + duplicate + late_held + quarantined + "
    "filtered.",
    ds_is=_BOOKS_DAY,
    key=("source",),
    columns=(
        Column("source", "string", "the file, or the path of files under logs.events"),
        Column(
            "read",
            "long",
            "rows of the day as far as they had landed; where a row has several events, these",
        ),
        Column("kept", "long", "rows written to events"),
        Column("duplicate", "long", "rows with the id of one that was kept"),
        Column("late_held", "long", "rows not known yet on the run date, or learned too late for their day"),
        Column("quarantined", "long", "rows written to quarantine"),
        Column("filtered", "long", "rows that `where` leaves out, or of which no event is made"),
        Column("rounded", "long", "kept rows with an amount of money that was finer than its unit"),
    ),
)

SOURCE_COLUMNS = Table(
    name="source_columns",
    meaning="The columns that the files of a mapped log have had: what later files must agree with.",
    ds_is="run date of the night that first met the column",
    key=("source", "column"),
    columns=(
        Column("source", "string", "the path of files in the scenario"),
        Column("column", "string", "the column"),
        Column("kind", "string", "what may widen within itself: integer, floating, text ..."),
        Column("config_digest", "string", "the settings under which it was met: others start anew"),
    ),
)

TABLES = (EVENTS, ITEMS, USERS, PROMOTIONS, CAMPAIGN_MEMBERS, QUARANTINE, INGEST_COUNTS, SOURCE_COLUMNS)
