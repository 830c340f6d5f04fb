import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.lake.buckets import bucket_column, buckets_of, hash_texts

TEXTS = ["u1", "ü" * 9, "abcdefghij" * 11, *("x" * length for length in range(110))]


@pytest.mark.parametrize("num_buckets", [1, 7, 64])
def test_numpy_finds_the_buckets_of_spark(spark: SparkSession, num_buckets: int) -> None:
    frame = spark.createDataFrame([(text,) for text in TEXTS], "user_id string").coalesce(1)

    rows = frame.select(bucket_column("user_id", num_buckets)).collect()

    found = buckets_of(pa.chunked_array([TEXTS[:5], TEXTS[5:]]), num_buckets)
    assert found.tolist() == [bucket for (bucket,) in rows]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=30))
def test_a_hash_depends_on_the_text_alone(texts: list[str]) -> None:
    together = hash_texts(pa.chunked_array([texts]))

    alone = [hash_texts(pa.chunked_array([[text]]))[0] for text in texts]

    assert together.tolist() == alone
    sliced = pa.chunked_array([pa.array(["pad", *texts]).slice(1)])
    assert hash_texts(sliced).tolist() == alone
