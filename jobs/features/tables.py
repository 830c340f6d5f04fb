"""The daily tiles and the features as of a day; their columns follow from the windows of the scenario."""

from jobs.config import FeaturesConfig
from jobs.features.config import Entity
from jobs.features.declared import declared_columns
from jobs.features.plans import USER, USER_CATEGORY, USER_ITEM, sold_columns
from jobs.lake.columns import Column, Table

USER_ITEM_DAYS = Table(
    name="user_item_days",
    meaning="Tile: what a user bought of an item on a day.",
    ds_is="event day",
    key=("user_id", "item_id"),
    columns=(
        Column("user_id", "string", "the user"),
        Column("item_id", "string", "the item"),
        Column("line_count", "long", "order lines with a quantity above 0"),
        Column("quantity", "long", "units"),
        Column("spend", "long", "value of the lines, cents"),
        Column("discount_line_count", "long", "lines with a loyalty or coupon discount"),
    ),
)

USER_DAYS = Table(
    name="user_days",
    meaning="Tile: a user's shopping on a day.",
    ds_is="event day",
    key=("user_id",),
    columns=(
        Column("user_id", "string", "the user"),
        Column("basket_count", "long", "baskets"),
        Column("line_count", "long", "order lines with a quantity above 0"),
        Column("spend", "long", "value of the lines, cents"),
        Column("discount_line_count", "long", "lines with a loyalty or coupon discount"),
        Column("redemption_count", "long", "coupons redeemed"),
        Column("new_item_count", "long", "items bought for the first time"),
    ),
)

ITEM_DAYS = Table(
    name="item_days",
    meaning="Tile: an item's sales on a day.",
    ds_is="event day",
    key=("item_id",),
    columns=(
        Column("item_id", "string", "the item"),
        Column("user_count", "long", "users who bought it"),
        Column("line_count", "long", "order lines with a quantity above 0"),
        Column("quantity", "long", "units"),
        Column("spend", "long", "value of the lines, cents"),
        Column("discount_line_count", "long", "lines with a loyalty or coupon discount"),
        Column("new_user_count", "long", "users who bought it for the first time"),
        Column("max_line_quantity", "long", "most units in one line, lines of quantity 0 included"),
    ),
)

_AS_OF = "as-of day: only events before its first instant count"
_ANCHORED = "rows are for the users that are anchored on the day"
ITEM_MAX_LINE = "item_max_line_quantity"
_USER_ROW_GROUP = 32_768  # a task keeps a row group of each of its days in memory


def user_item_features(config: FeaturesConfig) -> Table:
    return Table(
        name="user_item_features",
        meaning=f"Features of a user's strongest items by half-life count; {_ANCHORED}.",
        ds_is=_AS_OF,
        key=("user_id", "item_id"),
        columns=(
            Column("user_id", "string", "the user"),
            Column("item_id", "string", "the item"),
            *USER_ITEM.columns(config),
        ),
        files_per_day=config.user_files_per_day,
        row_group_rows=_USER_ROW_GROUP,
    )


def user_category_features(config: FeaturesConfig) -> Table:
    return Table(
        name="user_category_features",
        meaning=f"Features of the departments and types that a user bought from; {_ANCHORED}.",
        ds_is=_AS_OF,
        key=("user_id", "level", "category_id"),
        columns=(
            Column("user_id", "string", "the user"),
            Column("level", "string", "department or type"),
            Column("category_id", "string", "the path down to the level"),
            *USER_CATEGORY.columns(config),
        ),
        files_per_day=config.user_files_per_day,
        row_group_rows=_USER_ROW_GROUP,
    )


def user_features(config: FeaturesConfig) -> Table:
    return Table(
        name="user_features",
        meaning=f"Features of a user; {_ANCHORED} or whose campaign starts on it.",
        ds_is=_AS_OF,
        key=("user_id",),
        columns=(Column("user_id", "string", "the user"), *USER.columns(config)),
        files_per_day=config.user_files_per_day,
    )


def item_features(config: FeaturesConfig) -> Table:
    return Table(
        name="item_features",
        meaning="Features of the items sold in the 28 days before, and of those not to be proposed.",
        ds_is=_AS_OF,
        key=("item_id",),
        columns=(
            Column("item_id", "string", "the item"),
            *sold_columns("item", config),
            Column(ITEM_MAX_LINE, "long", "most units in one line in all days before"),
            Column("item_price_28d", "double", "mean price paid for a unit in the 28 days before, cents"),
            Column(
                "item_discount_share_28d", "double", "share of lines of the 28 days before with a discount"
            ),
            Column("item_repeat_share", "double", "share of purchases by users who had bought it before"),
            Column("item_rank", "long", "rank by users in 28 days among all items, from 1"),
            Column("item_rank_in_department", "long", "the same within its department"),
            Column("item_rank_in_type", "long", "the same within its type"),
        ),
    )


def category_features(config: FeaturesConfig) -> Table:
    return Table(
        name="category_features",
        meaning="Features of the departments, categories and types sold in the 28 days before.",
        ds_is=_AS_OF,
        key=("category_id", "level"),
        columns=(
            Column("level", "string", "department, category or type"),
            Column("category_id", "string", "the path down to the level"),
            *sold_columns("category", config),
        ),
    )


_KEY_COLUMNS = {
    "user_id": Column("user_id", "string", "the user"),
    "item_id": Column("item_id", "string", "the item"),
    "level": Column("level", "string", "department, category or type; of users department or type"),
    "category_id": Column("category_id", "string", "the path down to the level"),
    "brand": Column("brand", "string", "the brand"),
    "surface": Column("surface", "string", "where it was shown"),
    "position": Column("position", "int", "the slot it was shown in, from 0; -1 for events without one"),
}
_ENTITY_KEYS: dict[Entity, tuple[str, ...]] = {
    "user": ("user_id",),
    "user_item": ("user_id", "item_id"),
    "user_category": ("user_id", "level", "category_id"),
    "user_brand": ("user_id", "brand"),
    "item": ("item_id",),
    "category": ("category_id", "level"),
    "brand": ("brand",),
    "context": ("surface", "position"),
}
_EVENT_RANK = Column(
    "user_item_event_rank", "long", "rank by the newest day, then the number of events, among the user's"
)


def declared_tables(config: FeaturesConfig, of_users: bool) -> dict[Entity, Table]:
    """Entity -> the table of its declared features; none where nothing is declared."""
    declared = {feature.entity for feature in config.declared}
    return {
        entity: _declared_table(config, entity, key)
        for entity, key in _ENTITY_KEYS.items()
        if entity in declared and ("user_id" in key) == of_users
    }


def _declared_table(config: FeaturesConfig, entity: Entity, key: tuple[str, ...]) -> Table:
    anchored = f"; {_ANCHORED}" if "user_id" in key else ""
    columns = [column.column for column in declared_columns(config, entity)]
    return Table(
        name=f"{entity}_event_features",
        meaning=f"Declared features of what had a declared event before{anchored}.",
        ds_is=_AS_OF,
        key=key,
        columns=(
            *[_KEY_COLUMNS[name] for name in key],
            *columns,
            *([_EVENT_RANK] if entity == "user_item" else []),
        ),
        files_per_day=config.user_files_per_day if "user_id" in key else 1,
        row_group_rows=_USER_ROW_GROUP if "user_id" in key else 131_072,
    )


CO_PURCHASE_FEATURES = Table(
    name="co_purchase_features",
    meaning="The items that are most often got with an item, on the same day by the same user.",
    ds_is=_AS_OF,
    key=("item_id", "other_item_id"),
    columns=(
        Column("item_id", "string", "the item"),
        Column("other_item_id", "string", "what is got with it"),
        Column("basket_count", "long", "users' days with both, in the window"),
        Column("confidence", "double", "share of the users' days with the item that have the other, too"),
    ),
)

TILE_TABLES = (USER_ITEM_DAYS, USER_DAYS, ITEM_DAYS)


def feature_tables(config: FeaturesConfig) -> tuple[Table, ...]:
    return (
        user_features(config),
        item_features(config),
        category_features(config),
        user_item_features(config),
        user_category_features(config),
        *declared_tables(config, of_users=True).values(),
        *declared_tables(config, of_users=False).values(),
        *((CO_PURCHASE_FEATURES,) if config.co_purchases else ()),
    )
