"""The records of training: the model registry and what each model achieved."""

from jobs.lake.columns import Column, Table

MODEL_RUNS = Table(
    name="model_runs",
    meaning="The model registry: one row per model trained; its folder lies below models/ of the home.",
    ds_is="run date",
    key=("run_id",),
    columns=(
        Column("run_id", "string", "the run that trained it"),
        Column("model_version", "string", "run date and hash of the weights"),
        Column("trained_at", "timestamp", "when its training ended"),
        Column("status", "string", "trained, promoted or rejected"),
        Column("reason", "string", "why it was promoted or rejected"),
        Column("compared_with", "string", "the serving model that it was compared with; null: none"),
        Column(
            "not_compared",
            "string",
            "what of the serving model could not be compared, or why nothing could; null: it all was",
        ),
        Column("trained_through", "date", "last day of a label window that it was trained on"),
        Column("judged_from", "date", "first anchor day of the examples that judged it"),
        Column("judged_to", "date", "last anchor day of the examples that judged it"),
        Column("example_count", "long", "examples that this run trained it on"),
        Column(
            "warm_started_from", "string", "the earlier model that it carries on; null: trained from scratch"
        ),
        Column("config_digest", "string", "digest of the scenario"),
        Column(
            "model_config",
            "string",
            "the model part of the scenario, JSON; for the precision auto what was chosen",
        ),
    ),
)

TASK_METRICS = Table(
    name="task_metrics",
    meaning="What a model achieved on examples that it had not seen, per task and slice.",
    ds_is="run date",
    key=("run_id", "model_version", "task", "slice", "metric"),
    columns=(
        Column("run_id", "string", "the run that measured it"),
        Column("model_version", "string", "the model, or `constant` for the base rate"),
        Column("role", "string", "candidate, serving or constant"),
        Column("task", "string", "the task; `purchase|click`: purchase where the click happened"),
        Column("slice", "string", "a slice of the scenario's model.slices, or `all`"),
        Column(
            "metric",
            "string",
            "auc with its 95% interval (auc_low, auc_high), gauc, log_loss, calibration ...",
        ),
        Column("value", "double", "the metric's value; null where it is not defined"),
        Column("example_count", "long", "labelled examples"),
    ),
)

FIELD_IMPORTANCE = Table(
    name="field_importance",
    meaning="What a task's metric loses on examples that the model had not seen when a field is permuted.",
    ds_is="run date",
    key=("run_id", "task", "field"),
    columns=(
        Column("run_id", "string", "the run that trained and measured the model"),
        Column("model_version", "string", "the model"),
        Column("task", "string", "the task"),
        Column("field", "string", "the field of the model"),
        Column("metric", "string", "auc, normalised_gini, root_mean_squared_error or log_loss"),
        Column("value", "double", "the metric with the field as it is"),
        Column("loss", "double", "by how much it is worse with the field permuted"),
        Column("example_count", "long", "labelled examples"),
    ),
)

FIELD_ATTRIBUTIONS = Table(
    name="field_attributions",
    meaning="What each field adds to the scores of a task, by integrated gradients, on rows that judged it.",
    ds_is="run date",
    key=("run_id", "task", "field"),
    columns=(
        Column("run_id", "string", "the run that trained and measured the model"),
        Column("model_version", "string", "the model"),
        Column("task", "string", "the task"),
        Column("field", "string", "the field of the model; the fields of a factorisation are one: `a x b`"),
        Column("mean_absolute", "double", "mean size of what it adds, in logits, or logarithms of amounts"),
        Column("mean", "double", "mean of what it adds"),
        Column("example_count", "long", "labelled examples"),
    ),
)

TWIN_GAINS = Table(
    name="twin_gains",
    meaning="What joint learning gained each task over a single-task twin, both trained on a sample.",
    ds_is="run date",
    key=("run_id", "task"),
    columns=(
        Column("run_id", "string", "the run that measured it"),
        Column("model_version", "string", "the run's model"),
        Column("sample_rate", "double", "the share of the rows that both were trained and judged on"),
        Column("task", "string", "the task, or `average` over the tasks"),
        Column("metric", "string", "auc, normalised_gini, root_mean_squared_error or log_loss"),
        Column("mean", "double", "the metric of the joint model"),
        Column("ci_low", "double", "lower end of its 95% interval"),
        Column("ci_high", "double", "upper end"),
        Column("twin", "double", "the metric of the twin"),
        Column("gain", "double", "relative gain of the joint model, above 0 is better (docs/compare.md)"),
        Column("gain_low", "double", "lower end of its 95% interval, by a paired bootstrap over users"),
        Column("gain_high", "double", "upper end"),
        Column("verdict", "string", "positive transfer, negative transfer or no clear difference"),
    ),
)

DIAGNOSTICS = Table(
    name="diagnostics",
    meaning="What became of the measurements that explain a model and decide nothing: a night outlives them.",
    ds_is="run date",
    key=("run_id", "diagnostic"),
    columns=(
        Column("run_id", "string", "the run"),
        Column("model_version", "string", "the run's model"),
        Column("diagnostic", "string", "field_importance, field_attributions or twin_gains, as its table"),
        Column("status", "string", "measured, skipped (switched off, or not due) or failed"),
        Column("seconds", "double", "how long it took"),
        Column("error", "string", "why it failed"),
    ),
)

TABLES = (MODEL_RUNS, TASK_METRICS, FIELD_IMPORTANCE, FIELD_ATTRIBUTIONS, TWIN_GAINS, DIAGNOSTICS)
