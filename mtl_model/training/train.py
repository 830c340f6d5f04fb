"""Trains the joint model; started by torchrun.

torchrun --standalone --nproc-per-node 2 -m mtl_model.training.train --spec spec.json

Trains on the spec's train files, judges on its validation files, passes once over its final files, and saves.
A killed training goes on from its last checkpoint when it is started again with the same spec, also with
another --nproc-per-node.
"""

import argparse
import gc
import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.elastic.multiprocessing.errors import record

from mtl_model.balancing.task_balancing import TaskBalancing
from mtl_model.config import DataSpec, ModelDescription, TrainSpec
from mtl_model.data.batches import batches_per_pool, load_reader
from mtl_model.data.check_files import check_files_of
from mtl_model.data.encode import Batch, Encoder
from mtl_model.data.id_rows import UNKNOWN_ROW
from mtl_model.data.prefetch import prefetch
from mtl_model.evaluation.judge_model import judge_model, validate
from mtl_model.model import build_model
from mtl_model.model_folder import JUDGED_WEIGHTS, read_vocabularies, write_manifest, write_model
from mtl_model.predict import Predictor
from mtl_model.remove_folder import remove_folder
from mtl_model.seeds import derive_seed
from mtl_model.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from mtl_model.training.choose_precision import settle_precision
from mtl_model.training.early_stopping import EarlyStopping
from mtl_model.training.losses import JointLoss, count_divisors, joint_loss
from mtl_model.training.optimizer import (
    build_optimizer,
    clip_gradients,
    learning_rate_at,
    set_learning_rate,
)
from mtl_model.training.passes import Pass, augment, plan_passes, read_pass, share_streams
from mtl_model.training.process_group import ProcessGroup, join_process_group
from mtl_model.training.progress import ProgressReporter, StepReport, WaitClock, Window
from mtl_model.transfer.transfer import Transfer
from mtl_model.transfer.warm_start import warm_start

logger = logging.getLogger(__name__)


class Trainer:
    """One training on this rank."""

    def __init__(self, spec: TrainSpec, group: ProcessGroup) -> None:
        self.spec, self.group = spec, group
        self.training, self.tasks = spec.model.training, spec.model.tasks
        self.work_dir = spec.work_dir
        self.spec_digest = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
        self.data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
        self.encoder = Encoder(spec.model, self.data, read_vocabularies(spec.vocabularies))
        self.model = build_model(spec.model, self.encoder)
        self._warm_start()
        self.model.to(group.device)
        self.balancing = TaskBalancing(self.model, spec.model, group)
        self.wrapped = self.balancing.wrap()
        self.optimizer = build_optimizer(self.model, self.training)
        stopping = self.training.early_stopping
        self.early_stopping = EarlyStopping(stopping) if stopping else None
        self.state = TrainingState(self.model, self.optimizer, self.balancing.balancer, self.early_stopping)
        self.reader = load_reader(self.training.reader)
        self.share = share_streams(self.training.num_processes, group.rank, group.world_size)
        self.passes = plan_passes(spec, self.reader)
        self.train_steps = sum(one_pass.num_steps for one_pass in self.passes if not one_pass.is_final)
        self.transfer = Transfer(self.model, spec, self.encoder, self.reader, self.passes, group)

    def run(self) -> None:
        done = load_checkpoint(
            self.work_dir / "checkpoints", self.state, self.spec_digest, prepare=self._grow
        )
        logger.info("training on %d files from step %d", len(self.spec.train_files), done)
        self.group.barrier()
        self.work_dir.mkdir(parents=True, exist_ok=True)
        if self.group.is_main:
            self._write_spec()
        total_steps = self.passes[-1].last_step
        reporter = ProgressReporter(self.work_dir, done, total_steps) if self.group.is_main else None
        with reporter or nullcontext():
            for one_pass in self.passes:
                if one_pass.is_final:
                    if done <= self.train_steps:
                        self._judge()
                        self._grow(one_pass.first_step + 1)
                    self._run_pass(one_pass, done, reporter)
                elif not (self.early_stopping and self.early_stopping.is_over):
                    self._run_pass(one_pass, done, reporter)
                    self._validate(one_pass, reporter)
        if not self.passes[-1].is_final:
            self._judge()
        if self.group.is_main:
            self._finish()
        self.group.barrier()

    def close(self) -> None:
        """Frees DDP before its process group.

        Freed later, DDP would end the group and wait for gloo's threads with Python's lock in hand, while
        a thread that has just finished a sum waits for that lock.
        """
        self.wrapped = self.model
        gc.collect()

    def _grow(self, step: int) -> None:
        """In a step of the final pass new values have rows, which begin as unknown ones have been so far."""
        if step <= self.train_steps or not self.spec.new_values:
            return
        known = read_vocabularies(self.spec.vocabularies, self.spec.new_values)
        self.encoder = Encoder(self.spec.model, self.data, known)
        self.close()
        for growth in self.model.embedding.grow(self.encoder.slot_rows, like=UNKNOWN_ROW):
            self.optimizer.follow(growth)
        self.wrapped = self.balancing.wrap()

    def _warm_start(self) -> None:
        if self.spec.warm_start is None:
            return
        description = ModelDescription(model=self.spec.model, data=self.data)
        afresh = warm_start(self.model, self.encoder, description, self.spec.warm_start)
        logger.info("started from %s; afresh: %s", self.spec.warm_start.model_dir, afresh or "nothing")

    def _run_pass(self, one_pass: Pass, done: int, reporter: ProgressReporter | None) -> None:
        last_step, first_step = one_pass.last_step, max(done, one_pass.first_step)
        if first_step >= last_step:
            return
        self.wrapped.train()
        left = islice(self._batches(one_pass), first_step - one_pass.first_step, None)
        stream_batch_size = self.training.global_batch_size // self.training.num_processes
        batches = prefetch(left, batches_per_pool(stream_batch_size))
        clock, window = WaitClock(), Window(self._count_rows(None))
        for step, batch in enumerate(clock.watch(batches), start=first_step + 1):
            window.add(*self.train_step(batch.to(self.group.device), step))
            if reporter:
                reporter.advance(step)
            if step % self.training.log_every_steps == 0 or step == last_step:
                report = self._report(window, clock.read(), step, one_pass.epoch)
                if reporter:
                    reporter.report(report)
                window = Window(window.counts)
            if step % self.training.checkpoint_every_steps == 0 and self.group.is_main:
                save_checkpoint(self.work_dir / "checkpoints", step, self.state, self.spec_digest)

    def _batches(self, one_pass: Pass) -> Iterator[Batch]:
        for batch in read_pass(one_pass, self.spec, self.encoder, self.reader, self.share):
            yield augment(self.transfer.weigh(batch), one_pass, self.spec, self.encoder)

    def _validate(self, one_pass: Pass, reporter: ProgressReporter | None) -> None:
        """Judges the model after an epoch, unless a resumed training has done so before."""
        stopping = self.early_stopping
        if stopping is None or len(stopping.values) > one_pass.epoch:
            return
        predictor = Predictor(self.model, self.encoder, self.data, self.group.device)
        task, metric = stopping.config.task, stopping.config.metric
        value = validate(predictor, self.spec.validation_files, self.group, task, metric)
        stopping.observe(value, self.model)
        logger.info("epoch %d: %s of %s is %.5f", one_pass.epoch, metric, task, value)
        if stopping.is_over:
            logger.info("stopping: epoch %d was the best", stopping.best_epoch)
        if reporter:
            reporter.report_epoch(one_pass.last_step, f"{task}/{metric}", value)

    def train_step(self, batch: Batch, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the counts of all ranks, this rank's summed losses and the weights per task."""
        counts = self.group.all_reduce(self._count_rows(batch))
        loss = self.transfer.align(self._joint_loss(batch, counts[1:], step), batch)
        self.optimizer.zero_grad()
        weights = self.balancing.backward(loss, counts[1:], step)
        self.transfer.freeze(step)
        self.group.average_row_gradients(self.model.embedding.parameters())
        if self.training.clip_norm is not None:
            clip_gradients(self.model.parameters(), self.training.clip_norm)
        set_learning_rate(self.optimizer, learning_rate_at(step - 1, self.train_steps, self.training))
        self.optimizer.step()
        if self.balancing.balancer.reads_losses_after:
            with torch.no_grad():
                loss_after = self._joint_loss(batch, counts[1:], step)
            self.balancing.observe_losses_after(loss_after, counts[1:])
        return counts, loss.task_sums, weights

    def _joint_loss(self, batch: Batch, labelled_rows: Tensor, step: int) -> JointLoss:
        divisors = count_divisors(labelled_rows, self.group.world_size)
        torch.manual_seed(derive_seed(self.training.seed, step, self.group.rank))  # of the dropout masks
        logits = self.wrapped(batch.ids, batch.numbers)
        return joint_loss(self.model, self.tasks, self.encoder.label_slices, logits, batch, divisors, step)

    def _count_rows(self, batch: Batch | None) -> Tensor:
        """The number of rows, then of labelled rows per task: (1 + T,)."""
        counts = torch.zeros(1 + len(self.tasks), device=self.group.device)
        if batch is not None:
            counts[0] = batch.num_rows
            counts[1:] = batch.masks.sum(dim=0)
        return counts

    def _report(self, window: Window, waited: float, step: int, epoch: int) -> StepReport:
        sums = self.group.all_reduce(torch.cat([window.task_sums, window.task_sums.new_tensor([waited])]))
        losses = self._name_tasks(sums[:-1] / window.counts[1:])
        seconds = time.perf_counter() - window.started
        return StepReport(
            step=step,
            epoch=epoch,
            loss=sum(task.loss_weight * (losses[task.name] or 0.0) for task in self.tasks),
            task_losses=losses,
            task_weights=self._name_tasks(window.weight_sums / window.labelled_steps),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            rows_per_second=window.counts[0].item() / seconds,
            data_wait_share=sums[-1].item() / self.group.world_size / seconds,
        )

    def _name_tasks(self, means: Tensor) -> dict[str, float | None]:
        """Means (T,) by task, None in the place of 0 / 0: no labelled row."""
        values = means.tolist()
        return {
            task.name: None if math.isnan(value) else value
            for task, value in zip(self.tasks, values, strict=True)
        }

    def _judge(self) -> None:
        """Calibrates and judges the model on rows that it was not trained on; a final pass changes it."""
        if self.early_stopping:
            self.early_stopping.restore_best(self.model)
        if self.group.is_main and self.passes[-1].is_final:
            save_file(self.model.state_dict(), self.work_dir / JUDGED_WEIGHTS)
        predictor = Predictor(self.model, self.encoder, self.data, self.group.device)
        judge_model(predictor, self.spec, self.group, self.work_dir)

    def _write_spec(self) -> None:
        partial = self.work_dir / "spec.json.partial"
        partial.write_text(self.spec.model_dump_json(indent=2))
        partial.replace(self.work_dir / "spec.json")

    def _finish(self) -> None:
        """Turns the work folder into the model folder; it appears at once, by a rename."""
        description = ModelDescription(model=self.spec.model, data=self.data)
        write_model(self.work_dir, self.model, description, self.spec.vocabularies, self.spec.new_values)
        if self.early_stopping and self.early_stopping.values:
            described = json.dumps(self.early_stopping.describe(), indent=2)
            (self.work_dir / "early_stopping.json").write_text(described)
        remove_folder(self.work_dir / "checkpoints", self.work_dir)
        write_manifest(self.work_dir)
        self.work_dir.rename(self.spec.output_dir)
        logger.info("saved the model to %s", self.spec.output_dir)


def train(spec: TrainSpec, group: ProcessGroup) -> None:
    spec = settle_precision(spec, group)
    if spec.model.training.num_processes != group.world_size:
        logger.warning(
            "training.num_processes is %d, but torchrun started %d: the same batches, but other rounding",
            spec.model.training.num_processes,
            group.world_size,
        )
    if spec.output_dir.exists():
        earlier = spec.output_dir / "spec.json"
        if earlier.is_file() and TrainSpec.model_validate_json(earlier.read_bytes()) == spec:
            logger.info("%s holds the model of this very spec: nothing to do", spec.output_dir)
            group.barrier()  # a rank that leaves while another still connects would break its connection
            return
        raise ValueError(
            f"{spec.output_dir} exists and is of another spec: choose another output_dir or remove it"
        )
    group.check_on_main(partial(check_files_of, spec))
    with closing(Trainer(spec, group)) as trainer:
        trainer.run()


@record
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--spec",
        type=Path,
        required=True,
        nargs="+",
        help="the JSON file of a TrainSpec; several are trained one after the other",
    )
    arguments = parser.parse_args(argv)
    specs = [TrainSpec.model_validate_json(path.read_bytes()) for path in arguments.spec]
    with join_process_group() as group:
        level = logging.INFO if group.is_main else logging.WARNING
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        for spec in specs:
            train(spec, group)


if __name__ == "__main__":
    main()
