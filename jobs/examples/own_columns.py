"""What the model may read of an example that is in no feature table: of the item, and of the anchor."""

from jobs.config import FeaturesConfig
from jobs.lake.columns import Column

_PATH = "category path down to the"

ITEM_COLUMNS = (
    Column("department_id", "string", f"{_PATH} department"),
    Column("category_id", "string", f"{_PATH} category"),
    Column("type_id", "string", f"{_PATH} type"),
    Column("brand", "string", "brand"),
    Column("category_path", "list<string>", "all categories, the widest first"),
    Column("title_words", "list<string>", "words of the title, in lower case"),
    Column("item_price_quantile", "double", "place among the prices of the category: 0 cheapest, 1 dearest"),
)
PROMOTION_COLUMNS = (
    Column("display_share", "double", "mean share of shops that display it in the label window"),
    Column("mailer_share", "double", "mean share of shops that have it in their mailer in the label window"),
)
CO_PURCHASE = Column(
    "user_item_co_purchase",
    "double",
    "confidence given the likeliest of the user's last items; 0: none",
)
CONTEXT_COLUMNS = (
    Column("anchor_weekday", "string", "weekday of the anchor"),
    Column("campaign_type", "string", "kind of campaign; null for other kinds of examples"),
    Column("campaign_affinity", "double", "lines of the member with the campaign's products before"),
)
# Of anchor events; tonight's shelf has one surface, a top, an hour, and no query.
SHOWN_COLUMNS = (
    Column("surface", "string", "where it was shown"),
    Column("position", "int", "the slot it was shown in, from 0"),
    Column("anchor_hour", "int", "hour of the anchor event, 0 to 23"),
    Column("query_words", "list<string>", "words of the search that led to it"),
)


def own_columns(config: FeaturesConfig) -> dict[str, tuple[Column, ...]]:
    """Whose they are -> the columns."""
    return {
        "item": (*ITEM_COLUMNS, *PROMOTION_COLUMNS),
        "user_item": (CO_PURCHASE,) if config.co_purchases else (),
        "context": (*CONTEXT_COLUMNS, *SHOWN_COLUMNS),
    }
