import numpy as np

from jobs.simulator.catalogue import describe_items, items_in_category, items_table
from jobs.simulator.words import BRANDS, DEPARTMENTS
from tests.jobs.simulator.small_world import small_config


def test_titles_are_brand_and_words_of_the_category() -> None:
    rows = items_table(small_config(), np.arange(400)).to_pylist()

    for row in rows:
        assert row["category"] in DEPARTMENTS[row["department"]]
        assert row["title"].startswith(f"{row['brand']} ")
        assert row["title"].endswith(f" {row['category']}")
        assert row["brand"] in BRANDS
        assert 50 < row["price"] < 200_000


def test_ids_are_distinct_and_prices_differ_between_categories() -> None:
    items = items_table(small_config(items=100_000), np.arange(100_000)).to_pandas()

    assert items.item_id.is_unique
    medians = items.groupby("category").price.median()
    assert medians.max() > 5 * medians.min()


def test_an_item_is_the_same_in_any_range() -> None:
    config = small_config()

    assert items_table(config, np.arange(400)).slice(123, 5) == items_table(config, np.arange(123, 128))


def test_categories_share_out_all_items() -> None:
    config = small_config(items=417)

    counts = np.bincount(describe_items(config, np.arange(417)).category)

    assert counts.tolist() == items_in_category(config, np.arange(len(counts))).tolist()


def test_some_items_are_released_during_the_days() -> None:
    config = small_config(items=20_000)

    release_day = describe_items(config, np.arange(20_000)).release_day

    assert set(release_day) == {-1, *range(config.days)}
    assert abs((release_day >= 0).mean() - 0.15) < 0.01
