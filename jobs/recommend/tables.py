"""The tables that people and services read."""

from jobs.lake.columns import Column, Table

RECOMMENDATIONS = Table(
    name="recommendations",
    meaning="Tonight's shelves: what to show each user, best first.",
    ds_is="run date",
    key=("user_id", "surface", "rank"),
    columns=(
        Column("run_id", "string", "the run that made the row"),
        Column("surface", "string", "where it is to be shown"),
        Column("user_id", "string", "the user"),
        Column("rank", "int", "place on the shelf, from 1"),
        Column("item_id", "string", "the item"),
        Column("utility", "double", "the joint objective: sum of weight x prediction"),
        Column("p_purchase", "double", "probability that the user buys the item within the label window"),
        Column("p_buys_on_discount", "double", "probability that a purchase would be on discount"),
        Column(
            "expected_spend", "double", "expected value of the purchases of the item in the window, cents"
        ),
        Column(
            "predictions", "map<string,double>", "the prediction of each task of the utility, by its name"
        ),
        Column("reason", "string", "why, for a person to read"),
        Column(
            "model_reasons",
            "map<string,double>",
            "field -> what it adds to the score, the greatest first, if `recommend.reasons` is given",
        ),
        Column("channels", "list<string>", "the candidate channels that proposed the item"),
        Column("model_version", "string", "the model that scored it"),
    ),
)

COUPON_RECOMMENDATIONS = Table(
    name="coupon_recommendations",
    meaning="The coupons of a user's active campaigns, most promising first.",
    ds_is="run date",
    key=("user_id", "rank"),
    columns=(
        Column("run_id", "string", "the run that made the row"),
        Column("user_id", "string", "the user"),
        Column("rank", "int", "place, from 1"),
        Column("campaign_id", "string", "the campaign"),
        Column("coupon_id", "string", "the coupon"),
        Column("utility", "double", "p_redeem x (1 + affinity)"),
        Column("p_redeem", "double", "probability that the user redeems any coupon of the campaign"),
        Column("affinity", "double", "the user's 90-day half-life purchases of the coupon's products"),
        Column("reason", "string", "why, for a person to read"),
        Column("model_version", "string", "the model that scored it"),
    ),
)

ITEM_COMPLEMENTS = Table(
    name="item_complements",
    meaning="Items bought together, strongest first.",
    ds_is="run date",
    key=("item_id", "rank"),
    columns=(
        Column("run_id", "string", "the run that made the row"),
        Column("item_id", "string", "the item"),
        Column("rank", "int", "place, from 1"),
        Column("complement_item_id", "string", "the item bought with it"),
        Column("baskets_together", "long", "baskets of the window with both"),
        Column("lift", "double", "P(both) / (P(item) P(complement)) over baskets"),
        Column("confidence", "double", "share of the item's baskets that hold the complement"),
    ),
)

USER_PROFILES = Table(
    name="user_profiles",
    meaning="What the night knows of each user.",
    ds_is="run date",
    key=("user_id",),
    columns=(
        Column("run_id", "string", "the run that made the row"),
        Column("user_id", "string", "the user"),
        Column("basket_count_28d", "long", "baskets in the 28 days before"),
        Column("spend_28d", "long", "spend in the 28 days before, cents"),
        Column("days_since_last", "int", "days since the last purchase"),
        Column("price_sensitivity", "double", "share of purchased lines that had a discount"),
        Column(
            "interests",
            "map<string,string>",
            "category -> probability of buying from it, or acting as declared, in the label window",
        ),
        Column("expected_spend", "double", "expected spend on the shelf's items in the window, cents"),
        Column("model_version", "string", "the model that scored it"),
    ),
)

TABLES = (RECOMMENDATIONS, COUPON_RECOMMENDATIONS, ITEM_COMPLEMENTS, USER_PROFILES)
