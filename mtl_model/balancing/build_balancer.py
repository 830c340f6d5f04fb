"""The balancer that a scenario names."""

from mtl_model.balancing.aligned_mtl import AlignedMTL
from mtl_model.balancing.balancer import Balancer
from mtl_model.balancing.cagrad import CAGrad
from mtl_model.balancing.config import BalancingConfig
from mtl_model.balancing.dwa import DWA
from mtl_model.balancing.famo import FAMO
from mtl_model.balancing.fixed import Fixed
from mtl_model.balancing.gradnorm import GradNorm
from mtl_model.balancing.imtl_g import IMTLG
from mtl_model.balancing.imtl_l import IMTLL
from mtl_model.balancing.mgda import MGDA
from mtl_model.balancing.nash_mtl import NashMTL
from mtl_model.balancing.pcgrad import PCGrad
from mtl_model.balancing.stch import STCH
from mtl_model.balancing.uncertainty import Uncertainty
from mtl_model.balancing.upgrad import UPGrad

BALANCERS: dict[str, type[Balancer]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "dwa": DWA,
    "imtl_l": IMTLL,
    "stch": STCH,
    "famo": FAMO,
    "gradnorm": GradNorm,
    "mgda": MGDA,
    "pcgrad": PCGrad,
    "aligned_mtl": AlignedMTL,
    "imtl_g": IMTLG,
    "nash_mtl": NashMTL,
    "cagrad": CAGrad,
    "upgrad": UPGrad,
}


def build_balancer(config: BalancingConfig, num_tasks: int) -> Balancer:
    return BALANCERS[config.name](num_tasks=num_tasks, **config.model_dump(exclude={"name"}))
