"""What a training tells its operator: a bar on a terminal, else log lines; history.jsonl; TensorBoard."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class Window:
    """Sums since the last report, of all ranks but for losses and waiting, which are of this one.

    A task's weight counts in the steps where it has labelled rows.
    """

    def __init__(self, counts: Tensor) -> None:
        self.counts = torch.zeros_like(counts)
        self.task_sums = torch.zeros_like(counts[1:])
        self.weight_sums = torch.zeros_like(counts[1:])
        self.labelled_steps = torch.zeros_like(counts[1:])
        self.started = time.perf_counter()

    def add(self, counts: Tensor, task_sums: Tensor, weights: Tensor) -> None:
        labelled = counts[1:] > 0
        self.counts += counts
        self.task_sums += task_sums
        self.weight_sums += weights * labelled
        self.labelled_steps += labelled


class WaitClock:
    """Adds up how long the consumer of some items has waited for them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        started = time.perf_counter()
        for item in items:
            self.seconds += time.perf_counter() - started
            yield item
            started = time.perf_counter()

    def read(self) -> float:
        """The seconds since the last reading."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class StepReport(NamedTuple):
    """Means since the last report, over all ranks; None for a task that had no labelled row.

    `data_wait_share`: the share of the time that steps waited for their rows.
    """

    step: int
    epoch: int
    loss: float
    task_losses: dict[str, float | None]
    task_weights: dict[str, float | None]
    learning_rate: float
    rows_per_second: float
    data_wait_share: float


class ProgressReporter:
    """Open for as long as the training runs, on rank 0 only."""

    def __init__(self, folder: Path, first_step: int, total_steps: int) -> None:
        self.total_steps = total_steps
        self.history = folder / "history.jsonl"
        _drop_history_after(self.history, first_step)
        self.tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)
        console = Console(file=sys.stderr)
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.bar_task = self.bar.add_task("", total=total_steps, completed=first_step)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        self.tensorboard.close()

    def advance(self, step: int) -> None:
        self.bar.update(self.bar_task, completed=step)

    def report(self, report: StepReport) -> None:
        with self.history.open("a") as file:
            file.write(json.dumps(report._asdict()) + "\n")
        self.tensorboard.add_scalar("loss", report.loss, report.step)
        self.tensorboard.add_scalar("learning_rate", report.learning_rate, report.step)
        self.tensorboard.add_scalar("rows_per_second", report.rows_per_second, report.step)
        self.tensorboard.add_scalar("data_wait_share", report.data_wait_share, report.step)
        for name, values in (("loss", report.task_losses), ("weight", report.task_weights)):
            for task, value in values.items():
                if value is not None:
                    self.tensorboard.add_scalar(f"{name}/{task}", value, report.step)
        losses = ", ".join(
            f"{task} {loss:.4f} x {report.task_weights[task]:.3g}"
            for task, loss in report.task_losses.items()
            if loss is not None
        )
        speed = f"{report.rows_per_second:,.0f} rows/s, {report.data_wait_share:.0%} waiting for rows"
        text = f"epoch {report.epoch} loss {report.loss:.4f} ({losses}) {speed}"
        if self.bar.disable:
            logger.info("step %d of %d, %s", report.step, self.total_steps, text)
        else:
            self.bar.update(self.bar_task, completed=report.step, description=text)

    def report_epoch(self, step: int, name: str, value: float) -> None:
        self.tensorboard.add_scalar(f"validation/{name}", value, step)


def _drop_history_after(history: Path, step: int) -> None:
    """A resumed training repeats the steps after its checkpoint: their old lines go."""
    lines = history.read_text().splitlines(keepends=True) if history.exists() else []
    history.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))
