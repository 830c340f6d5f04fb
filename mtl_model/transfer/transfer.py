"""What `model.transfer` asks of a training, at each of its steps."""

from collections.abc import Sequence
from itertools import chain

from mtl_model.config import TrainSpec
from mtl_model.data.batches import Reader
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model import JointModel
from mtl_model.training.losses import JointLoss
from mtl_model.training.passes import Pass, read_pass, share_streams
from mtl_model.training.process_group import ProcessGroup
from mtl_model.transfer.alignment import Alignment
from mtl_model.transfer.freezing import Freezing
from mtl_model.transfer.instance_weighting import DomainClassifier


class Transfer:
    """The methods that are asked for; those that are not do nothing."""

    def __init__(
        self,
        model: JointModel,
        spec: TrainSpec,
        encoder: Encoder,
        reader: Reader,
        passes: Sequence[Pass],
        group: ProcessGroup,
    ) -> None:
        config = spec.model.transfer
        self.freezing: Freezing | None = None
        self.alignment: Alignment | None = None
        self.domain_classifier: DomainClassifier | None = None
        if freeze := config.freeze:
            of_epochs = [one_pass.last_step for one_pass in passes][: freeze.epochs]
            self.freezing = Freezing(model, freeze, of_epochs[-1] if freeze.epochs else None)
        if config.alignment:
            self.alignment = Alignment(model, spec.model.sharing.name, config.alignment, group)
        if weighting := config.instance_weighting:
            self.domain_classifier = DomainClassifier(spec.model, encoder, weighting)
            all_rows = share_streams(spec.model.training.num_processes, rank=0, world_size=1)
            readings = (
                read_pass(passes[0], spec, encoder, reader, all_rows) for _ in range(weighting.passes)
            )
            self.domain_classifier.fit(chain.from_iterable(readings), weighting.learning_rate)
            self.domain_classifier.check_domains(may_lack_one=spec.carries_on)

    def weigh(self, batch: Batch) -> Batch:
        return self.domain_classifier.weigh(batch) if self.domain_classifier else batch

    def align(self, loss: JointLoss, batch: Batch) -> JointLoss:
        """Adds the distance of the domains in the forward pass that gave the loss."""
        return loss._replace(penalty=loss.penalty + self.alignment.loss(batch)) if self.alignment else loss

    def freeze(self, step: int) -> None:
        if self.freezing:
            self.freezing.drop_gradients(step)
