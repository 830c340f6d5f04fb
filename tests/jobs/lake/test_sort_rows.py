import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from jobs.lake.sort_rows import sort_rows

KEY = ["user", "place"]
ROWS = st.lists(st.tuples(st.text(max_size=3), st.integers(-2, 2)), max_size=40)


@given(ROWS)
def test_rows_come_in_the_order_of_their_key(rows: list[tuple[str, int]]) -> None:
    users, places = [user for user, _ in rows], [place for _, place in rows]
    columns = {"user": pa.array(users, pa.string()), "place": pa.array(places, pa.int32())}
    table = pa.table({**columns, "row": pa.array(range(len(rows)), pa.int64())})

    found = sort_rows(table, KEY).to_pylist()

    by_key = sorted(range(len(rows)), key=lambda row: (users[row].encode(), places[row]))
    assert [row["row"] for row in found] == by_key
