"""Which rows of a source count: `where` of a mapping, as columns of Spark."""

import re
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.logs.columns_config import Condition
from jobs.logs.conversions import to_decimal, to_text

_WILDCARDS = {"*": ".*", "?": "."}


def holds(condition: Condition, column: Column) -> Column:
    """Whether a present value meets the condition; what is no number is left for other rules to judge."""
    text, number = to_text(column), to_decimal(column)
    rules = {
        "given": text.isNotNull() == F.lit(condition.given),
        "one_of": is_one_of(text, condition.one_of or ()),
        "none_of": ~is_one_of(text, condition.none_of or ()),
        "at_least": text.isNotNull() & F.coalesce(number >= F.lit(condition.at_least), F.lit(True)),
        "at_most": text.isNotNull() & F.coalesce(number <= F.lit(condition.at_most), F.lit(True)),
    }
    asked = [rule for name, rule in rules.items() if getattr(condition, name) is not None]
    return reduce(Column.__and__, asked)


def is_one_of(text: Column, names: tuple[str, ...]) -> Column:
    """Whether a text is one of the names, in which * and ? stand for any characters."""
    exact = [name for name in names if not re.search(r"[*?]", name)]
    patterns = [name for name in names if name not in exact]
    found = text.isin(*exact) if exact else F.lit(False)
    for name in patterns:
        parts = (_WILDCARDS.get(part) or f"\\Q{part}\\E" for part in re.split(r"([*?])", name) if part)
        found |= text.rlike(f"(?s)^{''.join(parts)}$")
    return F.coalesce(found, F.lit(False))
