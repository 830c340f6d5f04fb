import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mtl_model.config import ModelDescription, TrainSpec
from mtl_model.training import choose_precision
from mtl_model.training.choose_precision import (
    MIN_SPEEDUP,
    Product,
    ProductSeconds,
    largest_product,
    main,
    name_machine,
    remembered_precision,
    time_product,
)
from mtl_model.training.config import Precision
from tests.mtl_model.conftest import damage
from tests.mtl_model.sharing.build_sharing import SETTINGS
from tests.mtl_model.training.test_train import run_alone, same, torchrun, weights
from tests.mtl_model.transfer.carry_over import build, of_funnel

MakeSpec = Callable[..., TrainSpec]
CPU = torch.device("cpu")
PRODUCT = Product(rows=8, inputs=4, outputs=2)
FAST, SLOW = ProductSeconds(fp32=2.0, bf16=1.0), ProductSeconds(fp32=1.0, bf16=2.0)
AUTO_ON_RANKS = Path(__file__).with_name("auto_on_ranks.py")


@pytest.mark.parametrize(
    ("fp32", "bf16", "choice"),
    [
        pytest.param(MIN_SPEEDUP, 1.0, "bf16", id="just fast enough"),
        pytest.param(MIN_SPEEDUP - 1e-9, 1.0, "fp32", id="a little faster is not enough"),
        pytest.param(1.0, 1.4, "fp32", id="slower"),
    ],
)
def test_bf16_is_chosen_where_it_is_clearly_faster(fp32: float, bf16: float, choice: str) -> None:
    assert ProductSeconds(fp32, bf16).choice == choice


def test_both_are_timed_on_one_thread_which_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before, threads = torch.get_num_threads(), []
    time_once = choose_precision._time_once

    def look_at_threads(*factors: torch.Tensor) -> float:
        threads.append(torch.get_num_threads())
        return time_once(*factors)

    monkeypatch.setattr(choose_precision, "_time_once", look_at_threads)
    torch.set_num_threads(before + 1)
    try:
        seconds = time_product(Product(64, 32, 16), CPU)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

    assert 0 < min(seconds) <= max(seconds) < 1
    assert set(threads) == {1}
    assert after == before + 1


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_timed_product_is_the_widest_of_the_sharing_that_is_trained(
    make_spec: MakeSpec, kind: str
) -> None:
    spec = of_funnel(make_spec, kind)
    built = [weight for weight in build(spec).sharing.parameters() if weight.dim() == 2]

    product = largest_product(spec.model)

    assert product.rows == spec.model.training.global_batch_size
    assert product[:0:-1] == max((tuple(weight.shape) for weight in built), key=lambda of: of[0] * of[1])


def test_a_machine_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine chose stands, however it would choose on a busier day; another one is asked anew."""
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: FAST)
    assert remembered_precision(PRODUCT, CPU, tmp_path / "memory") == "bf16"

    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: SLOW)
    assert remembered_precision(PRODUCT, CPU, tmp_path / "memory") == "bf16"
    assert remembered_precision(PRODUCT._replace(rows=9), CPU, tmp_path / "memory") == "fp32"
    monkeypatch.setattr(choose_precision, "name_machine", lambda device: "another")
    assert remembered_precision(PRODUCT, CPU, tmp_path / "memory") == "fp32"


def test_a_processor_is_known_by_what_it_can_do(tmp_path: Path) -> None:
    core = "processor : {}\nmodel name : Xeon\ncpu MHz : {}\nflags : fpu {}\n\n"
    names = {}
    for name, one, two in (
        ("plain", ("0", "2600", "avx"), ("1", "2600", "avx")),
        ("hot", ("0", "3100", "avx"), ("1", "900", "avx")),
        ("amx", ("0", "2600", "avx amx_bf16"), ("1", "2600", "avx amx_bf16")),
    ):
        (tmp_path / name).write_text(core.format(*one) + core.format(*two))
        names[name] = name_machine(CPU, tmp_path / name)

    assert names["plain"] == names["hot"] != names["amx"]
    assert names["plain"].startswith("Xeon ")
    assert name_machine(CPU, tmp_path / "absent")


def test_the_command_answers_with_the_choice_alone(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: FAST)
    monkeypatch.setattr(sys, "stdin", io.StringIO(make_spec().model.model_dump_json()))

    main(["--memory", str(tmp_path / "memory")])

    assert capsys.readouterr().out == "bf16\n"
    (kept,) = (tmp_path / "memory").glob("*.json")
    assert json.loads(kept.read_bytes())["product"]["rows"] == 256


@pytest.mark.parametrize(("seconds", "chosen"), [(FAST, "bf16"), (SLOW, "fp32")], ids=["fast", "slow"])
def test_auto_trains_as_what_it_chose_and_says_so(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, seconds: ProductSeconds, chosen: Precision
) -> None:
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: seconds)
    forced, auto = (make_spec(name, 300, epochs=1, precision=name) for name in (chosen, "auto"))

    run_alone(forced)
    run_alone(auto)

    assert same(weights(forced), weights(auto))
    spec = TrainSpec.model_validate_json((auto.output_dir / "spec.json").read_bytes())
    model = ModelDescription.model_validate_json((auto.output_dir / "model.json").read_bytes()).model
    assert spec.model.training.precision == model.training.precision == chosen
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: SLOW if seconds is FAST else FAST)
    run_alone(auto)  # is finished


def test_a_training_goes_on_in_the_precision_that_it_began_with(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "final.parquet"
    changes = {"final_files": [str(final)]}
    whole = make_spec("whole", 600, changes, epochs=2, checkpoint_every_steps=2, precision="bf16")
    broken = make_spec("broken", 600, changes, epochs=2, checkpoint_every_steps=2, precision="auto")
    table = pq.read_table(whole.train_files[0])
    pq.write_table(table, final)
    run_alone(whole)

    damage(final)
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: FAST)
    with pytest.raises(OSError, match="page header"):
        run_alone(broken)
    pq.write_table(table, final)
    monkeypatch.setattr(choose_precision, "time_product", lambda *asked: SLOW)
    run_alone(broken)

    assert same(weights(whole), weights(broken))


def test_all_ranks_train_in_the_precision_of_the_first(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(make_spec(num_processes=2, precision="auto").model_dump_json())

    completed = torchrun(2, AUTO_ON_RANKS, spec_file)

    assert completed.returncode == 0, completed.stderr
    assert [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)] == ["bf16", "bf16"]
