from pathlib import Path

import pytest

from jobs.logs import text_files
from jobs.logs.text_files import TextForm, check_content, read_header, read_records

CSV = TextForm("utf-8", ",", has_header=True)
OPEN = "a quote is left open"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


def records(file: Path, form: TextForm = CSV) -> list[tuple[str, str | None]]:
    rows = [row for table in read_records(str(file), form) for row in table.to_pylist()]
    return [(row["record"], row["fault"]) for row in rows]


QUOTED = [
    pytest.param('1,"red\nshoe"', None, id="a value over two lines"),
    pytest.param('1,"a\nu9,i9\n""b""\n"', None, id="a line inside a value that looks like a record"),
    pytest.param('1,5" tv', None, id="a quote inside a value that has none around it"),
    pytest.param('1,"x ""y"""', None, id="doubled quotes"),
    pytest.param('1,"a \\"b\\" c"', None, id="quotes with a backslash"),
    pytest.param('"1" ,""', None, id="blanks behind a quote"),
    pytest.param('1,"5 inch tv', OPEN, id="a quote that is never closed"),
    pytest.param('1,"5" tv', OPEN, id="text behind a closed quote"),
    pytest.param('1,"he said ""no""', OPEN, id="doubled quotes in an open one"),
    pytest.param('1,x" ,"open', OPEN, id="an even number of quotes, one of them open"),
]


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
@pytest.mark.parametrize("delimiter", [",", "::"])
@pytest.mark.parametrize(("record", "fault"), QUOTED)
def test_a_record_is_whole_or_a_line_is_told_to_be_open(
    file: Path, monkeypatch: pytest.MonkeyPatch, record: str, fault: str | None, delimiter: str, piece: int
) -> None:
    monkeypatch.setattr(text_files, "_PIECE", piece)
    record = record.replace(",", delimiter)
    others = [f"2{delimiter}a", f'3{delimiter}"b"'] if fault is None else [f"2{delimiter}a"]
    file.write_text("\n".join(["h", record, *others]))

    found = records(file, TextForm("utf-8", delimiter, has_header=True))

    assert found == [(record, fault), *((other, None) for other in others)]


def test_an_open_quote_spoils_no_more_than_its_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "_PIECE", 100)
    monkeypatch.setattr(text_files, "_MAX_QUOTED", 1000)
    file.write_text("h\n" + '1,"inch\n' + "2,plain\n" * 1000 + '3,"inch\n' + '4,"closed"\n')

    faults = [record for record, fault in records(file) if fault]

    assert faults == ['1,"inch', '3,"inch']


def test_lines_end_with_a_line_feed_a_carriage_return_or_both_and_no_other_sign(file: Path) -> None:
    file.write_bytes("h\r\na\u2028b\r\nc\rd\ne\u0085\x0c".encode())

    assert [record for record, _ in records(file)] == ["a\u2028b", "c", "d", "e\u0085\x0c"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "José"), ("latin-1", "José"), ("cp1252", "“é” €"), ("gbk", "用户一"), ("shift_jis", "表"),
        ("utf-16", "用户😀"), ("utf-16-le", "José"), ("utf-32", "é"),
    ],
)  # fmt: skip
def test_text_is_read_in_its_encoding(file: Path, encoding: str, text: str) -> None:
    file.write_bytes(f"h,é\n{text},1\n".encode(encoding, "ignore"))

    check_content(str(file), encoding)

    assert records(file, TextForm(encoding, ",", has_header=True)) == [(f"{text},1", None)]


def test_the_byte_order_mark_of_utf_8_is_no_part_of_the_first_column(file: Path) -> None:
    file.write_bytes("\ufeffuser,item\nu,i\n".encode())

    assert read_header(str(file), CSV) == "user,item"
    assert records(file) == [("u,i", None)]
    assert records(file, TextForm("utf-8", ",")) == [("user,item", None), ("u,i", None)]


@pytest.mark.parametrize(
    ("encoding", "written"), [("utf-8", "latin-1"), ("utf-8", "gbk"), ("gbk", "latin-1")]
)
@pytest.mark.parametrize("delimiter", [",", None], ids=["csv", "json lines"])
def test_lines_that_are_not_valid_are_told_and_stay_apart(
    file: Path, encoding: str, written: str, delimiter: str | None
) -> None:
    names = ["José", "Josñ", "Joá"] if written == "latin-1" else ["用户一", "用户二"]
    file.write_bytes("".join(f"{name},1\n" for name in [*names, "plain"]).encode(written, "replace"))

    found = records(file, TextForm(encoding, delimiter))

    assert {fault for _, fault in found[:-1]} == {f"the line is not valid {encoding}"}
    assert len({record for record, _ in found}) == len(names) + 1
    assert found[-1] == ("plain,1", None)


def test_the_sign_for_unknown_characters_is_a_character_like_others(file: Path) -> None:
    file.write_text("h\nwhat\ufffd,1\n")

    assert records(file) == [("what\ufffd,1", None)]


@pytest.mark.parametrize(
    ("content", "encoding", "problem"),
    [
        pytest.param(b"\x1f\x8b\x08\0", "utf-8", "holds gzip", id="gzip"),
        pytest.param(b"PK\x03\x04", "latin-1", "holds zip", id="zip"),
        pytest.param(b"\x28\xb5\x2f\xfd", "utf-8", "holds zstd", id="zstd"),
        pytest.param(b"PAR1\x15\x04", "utf-8", "holds Parquet", id="parquet"),
        pytest.param(
            "a,b".encode("utf-16"), "utf-8", "byte order mark of utf-16.*files.encoding", id="utf-16"
        ),
        pytest.param("\ufeffa".encode(), "latin-1", "byte order mark of utf-8.*files.encoding", id="a mark"),
        pytest.param("a,b".encode("utf-16-le"), "utf-8", "zero bytes.*files.encoding", id="no mark"),
    ],
)
def test_content_of_another_kind_is_named(file: Path, content: bytes, encoding: str, problem: str) -> None:
    file.write_bytes(content)

    with pytest.raises(ValueError, match=f"log.csv: .*{problem}"):
        check_content(str(file), encoding)


def test_half_a_character_of_two_bytes_stops_the_file_by_name(file: Path) -> None:
    file.write_bytes("h\na,b\n".encode("utf-16") + b"\0")

    with pytest.raises(ValueError, match=r"log.csv: .* not valid utf-16.*set files.encoding"):
        records(file, TextForm("utf-16", ",", has_header=True))


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"", "empty file"), (b'user,"item', "a quote is left open in the header line"),
        (b"x," * 40_000, "does not end within 65536"), (b"x\n" + b"y" * 70_000, None),
        (b"us\xe9r,b\n", "not valid utf-8"),
    ],
    ids=["empty", "an open quote", "no end", "a long line below", "another encoding"],
)  # fmt: skip
def test_a_header_line_that_cannot_be_told_is_named(file: Path, header: bytes, problem: str | None) -> None:
    file.write_bytes(header)

    if problem is None:
        assert read_header(str(file), CSV) == "x"
        return
    with pytest.raises(ValueError, match=f"log.csv: .*{problem}"):
        read_header(str(file), CSV)
