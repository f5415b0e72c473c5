"""One file per mechanism; ``mechanism(name, ...)`` makes one from a configuration."""

from stream_anon.privacy.mechanisms.factory import NAMES, mechanism
from stream_anon.privacy.mechanisms.gaussian import Gaussian
from stream_anon.privacy.mechanisms.independent import Independent
from stream_anon.privacy.mechanisms.krr import RandomisedResponse
from stream_anon.privacy.mechanisms.l2_laplace import L2Laplace
from stream_anon.privacy.mechanisms.laplace import Laplace, LaplaceDatasetMaximum
from stream_anon.privacy.mechanisms.privunit import PrivUnit
from stream_anon.privacy.mechanisms.vmf import VonMisesFisher

__all__ = [
    "NAMES",
    "Gaussian",
    "Independent",
    "L2Laplace",
    "Laplace",
    "LaplaceDatasetMaximum",
    "PrivUnit",
    "RandomisedResponse",
    "VonMisesFisher",
    "mechanism",
]
