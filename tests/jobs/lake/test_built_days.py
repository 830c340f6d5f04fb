from dataclasses import replace
from datetime import date, timedelta

from jobs.lake.built_days import BUILT
from jobs.lake.columns import Column, Table
from jobs.lake.lake import Lake

DAY = date(2017, 12, 2)
NEXT_DAY = DAY + timedelta(days=1)
VISITS = Table("visits", "Who came.", "day", ("user_id",), (Column("user_id", "string", "who"),))


def test_days_built_by_other_settings_are_missing_and_the_settings_are_named(lake: Lake) -> None:
    before = replace(lake, settings={"visits": {"features.windows_days": "a", "logs.path": "b", "gone": "c"}})
    now = replace(lake, settings={"visits": {"features.windows_days": "z", "logs.path": "b", "new": "d"}})

    before.commit(VISITS, (DAY, DAY), [])

    assert (before.built_days(VISITS), before.changed_settings(VISITS)) == ([(DAY, DAY)], [])
    assert now.built_days(VISITS) == []
    assert now.changed_settings(VISITS) == ["features.windows_days", "gone", "new"]
    now.commit(VISITS, (NEXT_DAY, NEXT_DAY), [])
    assert (now.built_days(VISITS), before.built_days(VISITS)) == ([(NEXT_DAY, NEXT_DAY)], [])


def test_days_built_with_other_columns_or_of_other_files_are_missing(lake: Lake) -> None:
    wider = replace(VISITS, columns=(*VISITS.columns, Column("seconds", "long", "how long")))

    lake.commit(VISITS, (DAY, DAY), [], version="of Monday")

    assert lake.built_days(VISITS, "of Monday") == [(DAY, DAY)]
    assert lake.built_days(VISITS, "of Tuesday") == lake.built_days(wider, "of Monday") == []
    assert (lake.changed_settings(VISITS), lake.changed_settings(wider)) == ([], ["its columns"])


def test_days_on_the_record_of_an_earlier_version_of_the_project_are_built_again(lake: Lake) -> None:
    lake.commit(VISITS, (DAY, DAY), [])
    with lake.load(VISITS).transaction() as transaction:
        transaction.set_properties({BUILT: f'{{"digest": "0a-1b", "days": [["{DAY}", "{DAY}"]]}}'})

    assert lake.built_days(VISITS) == []
    assert lake.changed_settings(VISITS) == ["the project, which kept other records"]
    lake.forget_days(VISITS, [(DAY, DAY)])
    assert lake.changed_settings(VISITS) == []
