"""Tamper evidence, pure: Merkle trees over segments of the log, a chain of signed heads, verifying.

docs/proof.md says what it proves, byte by byte, for who writes a verifier of their own.
"""
