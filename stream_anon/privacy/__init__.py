"""What may be released about a person: mechanisms, randomness, ledger. Mathematics, no video.

mechanism("privunit", dimension=512, epsilon=8.0)   a mechanism, from a configuration
Releases(mechanism).of(track, code)                 one release per track, frozen
Releases.ledger.to_json()                           what the manifest says about it
"""

from stream_anon.privacy.composition import Composed, compose, composition_table
from stream_anon.privacy.contract import Code, Codes, Guarantee, Mechanism, MechanismRecord, unit
from stream_anon.privacy.ledger import Ledger, PrivacyReport, read_report
from stream_anon.privacy.mechanisms import (
    NAMES,
    Gaussian,
    Independent,
    L2Laplace,
    Laplace,
    LaplaceDatasetMaximum,
    PrivUnit,
    RandomisedResponse,
    VonMisesFisher,
    mechanism,
)
from stream_anon.privacy.prior import BankPrior, GaussianPrior, Prior, UniformPrior
from stream_anon.privacy.randomness import RandomnessError, SecureRandom, UnsafeSeedWarning
from stream_anon.privacy.release import Release, ReleaseError, Releases

__all__ = [
    "NAMES",
    "BankPrior",
    "Code",
    "Codes",
    "Composed",
    "Gaussian",
    "GaussianPrior",
    "Guarantee",
    "Independent",
    "L2Laplace",
    "Laplace",
    "LaplaceDatasetMaximum",
    "Ledger",
    "Mechanism",
    "MechanismRecord",
    "Prior",
    "PrivUnit",
    "PrivacyReport",
    "RandomisedResponse",
    "RandomnessError",
    "Release",
    "ReleaseError",
    "Releases",
    "SecureRandom",
    "UniformPrior",
    "UnsafeSeedWarning",
    "VonMisesFisher",
    "compose",
    "composition_table",
    "mechanism",
    "read_report",
    "unit",
]
