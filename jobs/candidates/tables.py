"""The candidates of the training anchors, and how much of what was bought they hold."""

from jobs.lake.columns import Column, Table

CANDIDATES = Table(
    name="candidates",
    meaning="What was considered for users anchored on the day: what they acted on, a sample of the rest.",
    ds_is="anchor day",
    key=("user_id", "item_id"),
    columns=(
        Column("user_id", "string", "the user"),
        Column("item_id", "string", "the item"),
        Column(
            "channels",
            "int",
            "bit mask of what proposed it: CHANNELS in their order, then the draws",
        ),
        Column("sampling_rate", "double", "probability that the row was kept; 1 if it was acted on"),
    ),
)

CANDIDATE_RECALL = Table(
    name="candidate_recall",
    meaning="Share of the items bought, or acted on by a declared label, that each channel proposed.",
    ds_is="anchor day",
    key=("channel", "user_part"),
    columns=(
        Column("channel", "string", "the channel, or `union` for all together"),
        Column("user_part", "int", "the part of the users, of `features.user_files_per_day`"),
        Column(
            "bought_count", "long", "items that anchored users bought or acted on within the label window"
        ),
        Column("found_count", "long", "those that were proposed"),
        Column("recall", "double", "found_count / bought_count; null if nothing was bought"),
    ),
)

TABLES = (CANDIDATES, CANDIDATE_RECALL)
