"""Items drawn at random for the examples, beside what channels propose: negatives that no channel would show.

An anchored user draws so many times among all items, and so many times within the departments that the user
is known to choose, an item as often as it is popular. No draw looks at a label: what is drawn and then acted
on is a positive like any other, and the rest is kept at the rate of all negatives.
"""

from jobs.candidates.channels import CHANNELS, favourite_query, known_clause, ranked_query
from jobs.config import CandidatesConfig
from jobs.examples.config import DrawnConfig
from jobs.lake.day_tasks import DayDatabase

DRAWN_BIT = {
    name: 1 << (len(CHANNELS) + index) for index, name in enumerate(("by_popularity", "within_departments"))
}

# Popularity in thousandths, summed in the order of items: a draw is a place below the sum, and takes the item
# whose part of the sum holds it. Places are hashes of the user, the day and the number of the draw.
_DRAWN = f"""
CREATE OR REPLACE TEMP TABLE proposed AS
WITH ranked AS ({{ranked}}),
favourite AS ({{favourite}}),
weighted AS (
    SELECT item_id, department_id, round(item_user_count_28d * 1000)::BIGINT AS weight FROM ranked
),
part AS (
    SELECT item_id, department_id, sum(weight) OVER (ORDER BY item_id) AS upto,
           sum(weight) OVER (PARTITION BY department_id ORDER BY item_id) AS upto_in_department
    FROM weighted WHERE weight > 0
),
choice AS (
    SELECT user_id, list(category_id ORDER BY rank) AS departments
    FROM favourite WHERE level = 'department' AND rank <= $popular_departments GROUP BY user_id
),
place AS (
    SELECT user_id, kind, number,
           md5_number_lower(concat_ws(chr(31), $day, user_id, kind, number)) AS hash
    FROM anchored CROSS JOIN (
        SELECT 'all' AS kind, unnest(range($by_popularity)) AS number
        UNION ALL SELECT 'department', unnest(range($within_departments))
    )
),
among_all AS (
    SELECT user_id, hash % (SELECT max(upto) FROM part)::UBIGINT AS at FROM place WHERE kind = 'all'
),
within_one AS (
    SELECT user_id, departments[1 + number % len(departments)] AS department_id, hash
    FROM place JOIN choice USING (user_id) WHERE kind = 'department'
),
within_department AS (
    SELECT user_id, department_id, hash % total::UBIGINT AS at
    FROM within_one JOIN (
        SELECT department_id, max(upto_in_department) AS total FROM part GROUP BY department_id
    ) USING (department_id)
),
every AS (
    SELECT user_id, item_id, channels FROM proposed
    UNION ALL
    SELECT user_id, item_id, {DRAWN_BIT["by_popularity"]}
    FROM among_all ASOF JOIN part ON among_all.at < part.upto
    UNION ALL
    SELECT user_id, item_id, {DRAWN_BIT["within_departments"]}
    FROM within_department ASOF JOIN part
    ON within_department.department_id = part.department_id AND within_department.at < part.upto_in_department
)
SELECT user_id, item_id, bit_or(channels)::INTEGER AS channels
FROM every ANTI JOIN excluded USING (item_id) {{known}}
GROUP BY user_id, item_id
"""


def add_drawn(database: DayDatabase, config: CandidatesConfig, drawn: DrawnConfig, day: object) -> None:
    """Adds the drawn pairs to the table proposed; a pair that is drawn twice stands there once."""
    query = _DRAWN.format(
        ranked=ranked_query(config), favourite=favourite_query(config), known=known_clause(config)
    )
    counts = {name: getattr(drawn, name) for name in DRAWN_BIT}
    parameters = {"day": day, "popular_departments": config.popular_departments, **counts}
    database.execute(query, parameters)
