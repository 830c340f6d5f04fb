"""A small grocery log with the files and columns of completejourney, and habits that a model can learn.

Every household has favourite products that it buys again at its own pace, on its own days of the week; some
products are promoted in some weeks, and campaigns send coupons to some households. The same seed gives
the same files.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.config import CONF_FOLDER

FIRST_DAY = date(2017, 1, 1)  # a Sunday, and a week of its own: the next starts on Monday the 2nd
NUM_DAYS = 150
NUM_HOUSEHOLDS = 60
NUM_PRODUCTS = 120
FUEL = NUM_PRODUCTS  # the last product is sold by the hundred
DEPARTMENTS = ("GROCERY", "PRODUCE", "MEAT", "DRUG GM", "PASTRY", "FUEL")

_TRIPS_PER_DAY = 0.3
_CAMPAIGN_DAYS = 25
_COUPONS_PER_CAMPAIGN = 4
_STORES = (1, 2, 3)

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Household:
    """Who shops: favourite products, each with the chance that it is in a basket."""

    id: int
    favourites: np.ndarray[Any, np.dtype[np.int64]]
    chances: np.ndarray[Any, np.dtype[np.float64]]
    weekdays: tuple[int, int]


def last_day() -> date:
    return FIRST_DAY + timedelta(days=NUM_DAYS - 1)


def midnight(day: date) -> datetime:
    """The first instant of a day, without a time zone, as the source has it."""
    return datetime.combine(day, time.min)


def write_small_log(folder: Path, seed: int = 7) -> Path:
    """Writes all files of the source into the folder and returns it."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    promoted = {week: generator.choice(NUM_PRODUCTS - 1, 12, replace=False) + 1 for week in range(1, 24)}
    campaigns = _campaigns()
    members = {
        row["campaign_id"]: generator.choice(NUM_HOUSEHOLDS, 25, replace=False) + 1 for row in campaigns
    }
    coupons = _coupons(generator, campaigns)
    lines, redemptions = _shopping(generator, promoted, campaigns, members, coupons)
    tables = {
        "transactions": lines,
        "products": _products(),
        "demographics": _demographics(generator),
        "campaign_descriptions": campaigns,
        "campaigns": [
            {"campaign_id": campaign, "household_id": int(household)}
            for campaign, households in members.items()
            for household in sorted(households)
        ],
        "coupons": coupons,
        "coupon_redemptions": redemptions,
        "promotions": _promotions(promoted),
    }
    for name, rows in tables.items():
        write_source(folder, name, rows)
    return folder


def write_source(folder: Path, name: str, rows: Rows) -> None:
    """Writes one file of the source, its stamps in nanoseconds as pandas does."""
    table = pa.Table.from_pylist(rows)
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            nanoseconds = table.column(index).cast(pa.timestamp("ns"))
            table = table.set_column(index, column.name, nanoseconds)
    pq.write_table(table, folder / f"{name}.parquet")


def write_scenario(path: Path, log: Path, **sections: dict[str, Any]) -> Path:
    """Writes conf/grocery.yaml once more for a small log, on a small scale, with changes per section."""
    scenario = yaml.safe_load((CONF_FOLDER / "grocery.yaml").read_text(encoding="utf-8"))
    small: dict[str, dict[str, Any]] = {
        "logs": {"path": str(log), "first_day": FIRST_DAY, "last_day": last_day()},
        "examples": {"training_weeks": 4, "negative_sampling_rate": 0.5},
        "model": {"embedding_dim": 4, "sharing": {"name": "shared_bottom", "hidden_dims": [16]}},
        "recommend": {"min_baskets_together": 2},
        "learn": {"twins": None},
    }
    for changes in (small, sections):
        for section, values in changes.items():
            scenario[section] = {**scenario[section], **values}
    training = {"global_batch_size": 512, "num_processes": 1, "warmup_steps": 5}
    scenario["model"]["training"] = {**scenario["model"]["training"], **training}
    path.write_text(yaml.safe_dump({**scenario, "name": "small"}, sort_keys=False), encoding="utf-8")
    return path


def _shopping(
    generator: np.random.Generator,
    promoted: dict[int, Any],
    campaigns: Rows,
    members: dict[int, Any],
    coupons: Rows,
) -> tuple[Rows, Rows]:
    households = [_household(generator, number + 1) for number in range(NUM_HOUSEHOLDS)]
    lines: Rows = []
    redemptions: Rows = []
    for offset in range(NUM_DAYS):
        day = FIRST_DAY + timedelta(days=offset)
        week = (day - date(2017, 1, 2)).days // 7 + 2
        active = [c for c in campaigns if c["start_date"].date() <= day <= c["end_date"].date()]
        for household in households:
            if generator.random() > _TRIPS_PER_DAY * (2.5 if day.weekday() in household.weekdays else 0.5):
                continue
            basket = _basket(generator, household, day, week, promoted.get(week, []), len(lines) + 1)
            lines += basket
            bought = {line["product_id"] for line in basket}
            redemptions += _redeem(generator, household, day, bought, active, members, coupons)
    return lines, redemptions


def _household(generator: np.random.Generator, number: int) -> Household:
    popularity = 1 / np.arange(1, NUM_PRODUCTS) ** 0.7
    favourites = generator.choice(
        NUM_PRODUCTS - 1, 15, replace=False, p=popularity / popularity.sum()
    ) + 1  # fmt: skip
    weekdays = (int(generator.integers(7)), int(generator.integers(7)))
    return Household(number, favourites, generator.uniform(0.1, 0.7, 15), weekdays)


def _basket(
    generator: np.random.Generator, household: Household, day: date, week: int, promoted: Any, number: int
) -> Rows:
    wanted = household.favourites[generator.random(15) < household.chances]
    tempted = [product for product in promoted if generator.random() < 0.1]
    products = sorted({*wanted.tolist(), *map(int, tempted)} or {int(generator.integers(1, NUM_PRODUCTS))})
    if generator.random() < 0.05:
        products.append(FUEL)
    bought_at = midnight(day) + timedelta(seconds=int(generator.integers(28_800, 79_200)))
    return [
        _line(generator, household, week, product, bought_at, 10_000_000 + number, product in promoted)
        for product in products
    ]


def _line(
    generator: np.random.Generator,
    household: Household,
    week: int,
    product: int,
    bought_at: datetime,
    basket: int,
    on_promotion: bool,
) -> dict[str, Any]:
    quantity = int(generator.integers(500, 3000)) if product == FUEL else int(generator.integers(1, 4))
    price = 0.01 if product == FUEL else 1 + product % 9
    discount = round(0.2 * price * quantity, 2) if on_promotion else 0.0
    return {
        "household_id": household.id,
        "store_id": _STORES[household.id % len(_STORES)],
        "basket_id": basket,
        "product_id": product,
        "quantity": quantity,
        "sales_value": round(price * quantity - discount, 2),
        "retail_disc": discount,
        "coupon_disc": 0.0,
        "coupon_match_disc": 0.0,
        "week": week,
        "transaction_timestamp": bought_at,
    }


def _redeem(
    generator: np.random.Generator,
    household: Household,
    day: date,
    bought: set[int],
    active: Rows,
    members: dict[int, Any],
    coupons: Rows,
) -> Rows:
    usable = {
        (coupon["coupon_upc"], coupon["campaign_id"])
        for coupon in coupons
        for campaign in active
        if coupon["campaign_id"] == campaign["campaign_id"]
        and household.id in members[campaign["campaign_id"]]
        and coupon["product_id"] in bought
    }
    return [
        {
            "household_id": household.id,
            "coupon_upc": coupon,
            "campaign_id": campaign,
            "redemption_date": midnight(day),
        }
        for coupon, campaign in sorted(usable)
        if generator.random() < 0.15
    ]


def _products() -> Rows:
    rows = []
    for product in range(1, NUM_PRODUCTS + 1):
        department = DEPARTMENTS[-1] if product == FUEL else DEPARTMENTS[product % 5]
        category = f"{department} {product % 20}"
        rows.append(
            {
                "product_id": product,
                "manufacturer_id": product % 10,
                "department": department,
                "brand": "Private" if product % 3 == 0 else "National",
                "product_category": None if product == 50 else category,
                "product_type": None if product == 50 else f"{category}:{product % 40}",
                "package_size": "12 OZ" if product % 2 else None,
            }
        )
    return rows


def _demographics(generator: np.random.Generator) -> Rows:
    return [
        {
            "household_id": household,
            "age": str(generator.choice(["25-34", "35-44", "65+"])),
            "income": str(generator.choice(["35-49K", "50-74K"])),
            "home_ownership": "Homeowner" if household % 2 else None,
            "marital_status": "Married",
            "household_size": "2",
            "household_comp": "2 Adults No Kids",
            "kids_count": "0",
        }
        for household in range(1, NUM_HOUSEHOLDS + 1, 3)
    ]


def _campaigns() -> Rows:
    starts = [midnight(date(2017, month, day)) for month, day in ((1, 20), (3, 1), (4, 1), (5, 10))]
    return [
        {
            "campaign_id": number + 1,
            "campaign_type": "Type A" if number % 2 else "Type B",
            "start_date": start,
            "end_date": start + timedelta(days=_CAMPAIGN_DAYS),
        }
        for number, start in enumerate(starts)
    ]


def _coupons(generator: np.random.Generator, campaigns: Rows) -> Rows:
    return [
        {
            "coupon_upc": 10_000 * campaign["campaign_id"] + coupon,
            "product_id": int(product),
            "campaign_id": campaign["campaign_id"],
        }
        for campaign in campaigns
        for coupon in range(_COUPONS_PER_CAMPAIGN)
        for product in generator.choice(NUM_PRODUCTS - 1, 5, replace=False) + 1
    ]


def _promotions(promoted: dict[int, Any]) -> Rows:
    return [
        {
            "product_id": int(product),
            "store_id": store,
            "display_location": "9" if product % 2 else "0",
            "mailer_location": "A" if product % 3 else "0",
            "week": week,
        }
        for week, products in promoted.items()
        for product in sorted(products)
        for store in _STORES
    ]
