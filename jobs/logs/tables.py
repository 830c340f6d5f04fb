"""The tables that a behaviour log becomes (the data contract), whatever its source."""

from jobs.lake.columns import Column, Table

EVENTS = Table(
    name="events",
    meaning="Everything users did, one row per event; money in minor units (cents).",
    ds_is="event day",
    key=("user_id", "event_time", "event_id"),
    columns=(
        Column("event_id", "string", "hash of the source row"),
        Column("event_time", "timestamp", "when it happened (UTC)"),
        Column(
            "ingested_at",
            "timestamp",
            "when the log learned of it; the event time where the source does not say",
        ),
        Column("user_id", "string", "who"),
        Column("item_id", "string", "what; null for events without an item"),
        Column("event_type", "string", "purchase or coupon_redeem"),
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
    ds_is="event day, or the first day of the log where the event time is not usable",
    key=("source", "row"),
    columns=(
        Column("source", "string", "the file"),
        Column("row", "string", "the row as JSON"),
        Column("reason", "string", "which rule it breaks"),
    ),
)

INGEST_COUNTS = Table(
    name="ingest_counts",
    meaning="The books of ingestion: read = kept + duplicate + late_held + quarantined, per source and day.",
    ds_is="event day, as in quarantine",
    key=("source",),
    columns=(
        Column("source", "string", "the file"),
        Column("read", "long", "rows of the day in the source"),
        Column("kept", "long", "rows written to events"),
        Column("duplicate", "long", "rows equal to one that was kept"),
        Column("late_held", "long", "rows that came too late for their day"),
        Column("quarantined", "long", "rows written to quarantine"),
    ),
)

TABLES = (EVENTS, ITEMS, USERS, PROMOTIONS, CAMPAIGN_MEMBERS, QUARANTINE, INGEST_COUNTS)
