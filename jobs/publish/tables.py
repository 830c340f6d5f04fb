"""The records of publication."""

from jobs.lake.columns import Column, Table

QUALITY_CHECKS = Table(
    name="quality_checks",
    meaning="What was checked before a publication.",
    ds_is="run date",
    key=("run_id", "check"),
    columns=(
        Column("run_id", "string", "the run"),
        Column("check", "string", "the check's name"),
        Column("table", "string", "the table checked"),
        Column("measure", "string", "what was measured"),
        Column("value", "double", "what was found"),
        Column("at_least", "double", "lower bound"),
        Column("at_most", "double", "upper bound"),
        Column("blocking", "boolean", "whether a failure stops the publication"),
        Column("passed", "boolean", "whether the value lies within the bounds"),
    ),
)

PUBLICATIONS = Table(
    name="publications",
    meaning="What readers see: a day's newest row names the run and the snapshot of every output table.",
    ds_is="run date",
    key=("published_at",),
    columns=(
        Column("run_id", "string", "the run"),
        Column("published_at", "timestamp", "when it became visible"),
        Column("kind", "string", "published, or rolled_back_to where an older run was made visible again"),
        Column("model_version", "string", "the model that scored it"),
        Column("snapshots", "map<string,string>", "output table -> Iceberg snapshot id"),
    ),
)

TABLES = (QUALITY_CHECKS, PUBLICATIONS)
