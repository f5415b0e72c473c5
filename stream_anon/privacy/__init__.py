"""What may be released about a person: mechanisms, randomness, ledger. Mathematics, no video."""

from stream_anon.privacy.randomness import RandomnessError, SecureRandom, UnsafeSeedWarning

__all__ = ["RandomnessError", "SecureRandom", "UnsafeSeedWarning"]
